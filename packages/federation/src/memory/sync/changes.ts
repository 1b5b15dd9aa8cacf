import type { MemoryRow } from "../memory-row.ts";
import type { SyncChange } from "./sync-state.ts";

/**
 * What listeners are told of a row of the server, given what is held: nothing where nobody here knew what is deleted. A memory of this machine is held before the server has it, so a first version is always one that was added.
 */
export function changesOf(row: MemoryRow, held: MemoryRow | undefined): readonly SyncChange[] {
  if (row.deleted_at !== null) return held === undefined ? [] : [{ change: "deleted", row }];
  const isNew = held === undefined || held.deleted_at !== null || row.version === 1;
  return [{ change: isNew ? "added" : "updated", row }];
}

/** What is told of a memory that the server no longer has, and left no tombstone of. */
export function goneChange(held: MemoryRow, nowMs: number): SyncChange {
  const at = new Date(nowMs).toISOString();
  const row = {
    ...held,
    content: "",
    embedding: null,
    embedding_model: null,
    metadata: {},
    source: null,
    deleted_at: at,
  };
  return { change: "deleted", row };
}
