import { sleep, systemClock } from "../../runtime/clock.ts";
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

// A write is acknowledged within milliseconds; a store that still refuses after seconds is not busy but wrong.
const mostTries = 1000;

async function storeNewer(
  store: Store,
  memories: readonly TransferMemory[],
  options: { readonly outbox: boolean },
): Promise<number> {
  for (let tries = 1; ; tries++) {
    const writes = newerRows(store, memories);
    if (writes.length === 0) return 0;
    try {
      await store.write(writes, options);
      return writes.length;
    } catch (error) {
      // Somebody is writing one of them, and all were refused. What that is can be read once it is acknowledged, a turn of the event loop later or more.
      if (!isFederationError(error, "conflict") || tries === mostTries) throw error;
      await sleep(systemClock, 1);
    }
  }
}

function newerRows(store: Store, memories: readonly TransferMemory[]): LocalWrite[] {
  return memories.flatMap((memory) => {
    const held = store.get(memory.id);
    const row = toRow(memory, held);
    if (held !== undefined && !isNewer(row, held)) return [];
    return [{ row, expect: held?.version ?? 0 }];
  });
}

function toRow(memory: TransferMemory, held: MemoryRow | undefined): MemoryRow {
  const { embedding, deleted_at = null, hlc } = memory;
  return {
    ...memory,
    embedding: embedding === null ? null : Float32Array.from(embedding),
    version: held === undefined ? memory.version : held.version + 1,
    // Whose session it was where it comes from says nothing here.
    session_agent: held?.session_id === memory.session_id ? held.session_agent : null,
    deleted_at,
    hlc: hlc ?? { ms: Date.parse(memory.updated_at), counter: 0, writer: "import" },
  };
}
