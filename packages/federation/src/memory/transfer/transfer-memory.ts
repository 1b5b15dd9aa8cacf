import type { Hlc, MemoryRow } from "../memory-row.ts";
import { compareHlc } from "../sync/hlc.ts";

/** A memory on its way from one place to another: what every backend knows of it, and its clock where there is one. A `MemoryRow` is one. */
export interface TransferMemory extends Omit<
  MemoryRow,
  "embedding" | "session_agent" | "deleted_at" | "hlc"
> {
  readonly embedding: ArrayLike<number> | null;
  /** Absent or null: it lives. */
  readonly deleted_at?: string | null | undefined;
  readonly hlc?: Hlc | undefined;
}

/**
 * Where memories come from, in the order of the UTF-8 bytes of their ids, so that an interrupted export can go on behind the last one, also
 * from another place.
 */
export interface MemorySource {
  rows(options?: { readonly afterId?: string }): AsyncIterable<TransferMemory>;
}

/** What tells whether a memory that comes in is newer than the one that is there. */
export type HeldMemory = Pick<TransferMemory, "updated_at" | "hlc">;

/** Where memories go to. */
export interface MemorySink {
  /** What is there under these ids, deleted ones too where that is known; nothing for ids that are free. */
  held(ids: readonly string[]): Promise<ReadonlyMap<string, HeldMemory>>;
  /** Stores memories that are newer than what was held. Answers how many it stored: what became newer meanwhile may stay. */
  store(memories: readonly TransferMemory[]): Promise<number>;
}

/** By the clocks where both have one, else by the time of the last change; as old is not newer, so that what comes twice changes nothing. */
export function isNewer(incoming: HeldMemory, held: HeldMemory): boolean {
  if (incoming.hlc !== undefined && held.hlc !== undefined) return compareHlc(incoming.hlc, held.hlc) > 0;
  return Date.parse(incoming.updated_at) > Date.parse(held.updated_at);
}

/** Stores those of the memories, all of different ids, that are newer than what is there. Answers how many. */
export async function storeNewer(sink: MemorySink, memories: readonly TransferMemory[]): Promise<number> {
  const held = await sink.held(memories.map(({ id }) => id));
  const newer = memories.filter((memory) => {
    const there = held.get(memory.id);
    return there === undefined || isNewer(memory, there);
  });
  return newer.length === 0 ? 0 : await sink.store(newer);
}
