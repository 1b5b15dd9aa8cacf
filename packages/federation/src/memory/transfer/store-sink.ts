import { isFederationError } from "../../runtime/errors.ts";
import type { LocalWrite, TenantStore } from "../local/local-store.ts";
import type { MemoryRow } from "../memory-row.ts";
import { isNewer, type HeldMemory, type MemorySink, type TransferMemory } from "./transfer-memory.ts";

type Store = Pick<TenantStore, "get" | "write">;

/**
 * A tenant of the local store as the place where memories go to. They keep their clocks, so that importing on two machines that sync makes one
 * memory of each; what has none gets the time of its last change, the same everywhere.
 */
export function createStoreSink(store: Store, options: { readonly outbox: boolean }): MemorySink {
  return {
    held: async (ids) => {
      const held = new Map<string, HeldMemory>();
      for (const id of ids) {
        const row = store.get(id);
        if (row !== undefined) held.set(id, row);
      }
      return held;
    },
    store: (memories) => storeNewer(store, memories, options),
  };
}

async function storeNewer(
  store: Store,
  memories: readonly TransferMemory[],
  options: { readonly outbox: boolean },
): Promise<number> {
  const writes = memories.flatMap((memory): LocalWrite[] => {
    const held = store.get(memory.id);
    const row = toRow(memory, held);
    if (held !== undefined && !isNewer(row, held)) return [];
    return [{ row, expect: held?.version ?? 0 }];
  });
  if (writes.length === 0) return 0;
  try {
    await store.write(writes, options);
    return writes.length;
  } catch (error) {
    // Somebody wrote one of them in between; all were refused. Each conflict is somebody else's progress, so that this comes to an end.
    if (!isFederationError(error, "conflict")) throw error;
    return await storeNewer(store, memories, options);
  }
}

function toRow(memory: TransferMemory, held: MemoryRow | undefined): MemoryRow {
  const { embedding, deleted_at = null, hlc } = memory;
  return {
    id: memory.id,
    agent_id: memory.agent_id,
    session_id: memory.session_id,
    content: memory.content,
    embedding: embedding === null ? null : Float32Array.from(embedding),
    embedding_model: memory.embedding_model,
    metadata: memory.metadata,
    source: memory.source,
    scope: memory.scope,
    written_by: memory.written_by,
    content_hash: memory.content_hash,
    supersedes: memory.supersedes,
    superseded_by: memory.superseded_by,
    version: held === undefined ? memory.version : held.version + 1,
    created_at: memory.created_at,
    updated_at: memory.updated_at,
    expires_at: memory.expires_at,
    deleted_at,
    hlc: hlc ?? { ms: Date.parse(memory.updated_at), counter: 0, writer: "import" },
  };
}
