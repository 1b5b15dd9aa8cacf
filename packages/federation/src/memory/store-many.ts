import type { MemoryBackend, MemoryWrite } from "./backends/memory-backend.ts";
import type { CheckedMemory } from "./check-memory.ts";
import { writeOf, type BulkStoreOptions, type StoreProgress } from "./store-options.ts";

export interface StoreManyParts {
  readonly backend: Pick<MemoryBackend, "storeBatch" | "batch">;
  readonly check: (memory: unknown) => CheckedMemory;
  /** Gives those that have none an embedding. */
  readonly embed: (
    memories: readonly CheckedMemory[],
    signal: AbortSignal | undefined,
  ) => Promise<CheckedMemory[]>;
  readonly how: Omit<MemoryWrite, "memory">;
}

/** Stores as many as come, in batches of one tenant each, and of one agent where the backend wants it so. What a batch holds is stored together or not at all. */
export async function storeMany(
  memories: Iterable<unknown> | AsyncIterable<unknown>,
  { backend, check, embed, how }: StoreManyParts,
  { signal, onProgress }: BulkStoreOptions,
): Promise<StoreProgress> {
  const batches = new Map<string, { memories: CheckedMemory[]; sizeBytes: number }>();
  const { mostAtOnce = 1 } = backend.batch;
  const underWay: Promise<void>[] = [];
  let progress: StoreProgress = { stored: 0, skipped: 0 };
  const store = async (ready: readonly CheckedMemory[]): Promise<void> => {
    const writes = ready.map((memory) => writeOf(memory, how));
    const ids = await backend.storeBatch(writes, signal);
    const skipped = ids.filter((id, at) => id !== ready[at]?.id).length;
    progress = { stored: progress.stored + ids.length - skipped, skipped: progress.skipped + skipped };
    onProgress?.(progress);
  };
  const flush = async (key: string): Promise<void> => {
    const batch = batches.get(key);
    batches.delete(key);
    if (batch === undefined) return;
    signal?.throwIfAborted();
    const ready = await embed(batch.memories, signal);
    const storing = store(ready);
    storing.catch(() => {}); // whoever waits for it next is told, and that may be long after it failed
    underWay.push(storing);
    if (underWay.length >= mostAtOnce) await underWay.shift();
  };
  /** Answers which batch is full now. */
  const take = (each: unknown): string | undefined => {
    const memory = check(each);
    const key = backend.batch.mixed === true ? memory.tenant_id : `${memory.tenant_id}/${memory.agent_id}`;
    let batch = batches.get(key);
    if (batch === undefined) batches.set(key, (batch = { memories: [], sizeBytes: 0 }));
    batch.memories.push(memory);
    batch.sizeBytes += roughBytes(memory);
    const { maxRows, maxBytes } = backend.batch;
    return batch.memories.length >= maxRows || batch.sizeBytes >= maxBytes ? key : undefined;
  };
  const takeAndFlush = async (each: unknown): Promise<void> => {
    const full = take(each);
    if (full !== undefined) await flush(full);
  };
  try {
    if (Symbol.asyncIterator in memories) for await (const each of memories) await takeAndFlush(each);
    else
      for (const each of memories) {
        const full = take(each); // what is here already is not waited for: that would be a tenth of what a row takes
        if (full !== undefined) await flush(full);
      }
    for (const key of batches.keys()) await flush(key);
    for (const batch of underWay) await batch;
    return progress;
  } finally {
    await Promise.allSettled(underWay); // nothing is stored any more once the caller knows how it went
  }
}

function roughBytes({ content, embedding = [], metadata, source }: CheckedMemory): number {
  const json = metadata === undefined && source === undefined ? 0 : JSON.stringify([metadata, source]).length;
  return content.length + embedding.length * 12 + json + 300;
}
