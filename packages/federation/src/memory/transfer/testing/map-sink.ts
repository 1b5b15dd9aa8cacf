import type { HeldMemory, MemorySink, MemorySource, TransferMemory } from "../transfer-memory.ts";

/** Memories in a map: a source, and a sink that notes how it was asked. */
export class MapSink implements MemorySink, MemorySource {
  readonly memories = new Map<string, TransferMemory>();
  readonly batches: number[] = [];

  constructor(memories: Iterable<TransferMemory> = []) {
    for (const memory of memories) this.memories.set(memory.id, memory);
  }

  async held(ids: readonly string[]): Promise<ReadonlyMap<string, HeldMemory>> {
    const held = new Map<string, HeldMemory>();
    for (const id of ids) {
      const memory = this.memories.get(id);
      if (memory !== undefined) held.set(id, memory);
    }
    return held;
  }

  async store(memories: readonly TransferMemory[]): Promise<number> {
    this.batches.push(memories.length);
    for (const memory of memories) this.memories.set(memory.id, memory);
    return memories.length;
  }

  async *rows(options: { readonly afterId?: string } = {}): AsyncIterable<TransferMemory> {
    for (const id of [...this.memories.keys()].sort()) {
      const memory = this.memories.get(id);
      if (memory !== undefined && (options.afterId === undefined || id > options.afterId)) yield memory;
    }
  }
}
