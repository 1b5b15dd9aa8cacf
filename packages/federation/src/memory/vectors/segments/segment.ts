import { rowHash } from "./row-hash.ts";
import type { SlotHomes } from "./slot-homes.ts";

/** What is searched of a graph. Keys are slots. */
export interface SearchGraph {
  search(query: Int8Array, count: number, threads: number): { readonly keys: BigUint64Array };
}

/** A sealed graph that is open. */
export interface Segment {
  /** Names its files; a later segment has a greater one. */
  readonly number: number;
  /** What `SlotHomes` calls it. */
  readonly place: number;
  readonly graph: SearchGraph;
  readonly rows: number;
  readonly firstSlot: number;
  /** For each slot from the first on the hash of the row it was built from; 0 for none. */
  readonly hashes: Uint32Array;
}

/** Whether the segment was built from this row of this slot. */
export function isSealedIn(segment: Segment, slot: number, encoded: Uint8Array): boolean {
  const sealed = segment.hashes[slot - segment.firstSlot] ?? 0;
  return sealed !== 0 && sealed === rowHash(encoded);
}

/** A graph's own order is that of coarse numbers, and the more rows, the more of them are nearly equal. */
export function graphWidth(rows: number, count: number): number {
  return Math.max(64, Math.ceil(64 * Math.sqrt(rows / 100_000)), count * 4);
}

/** Searching for more costs as much as comparing with every row. */
const mostProposals = 4096;

/**
 * The slots that the graph proposes and that are still as they were sealed, ascending: at least `count`, or all there are. Undefined when
 * the graph finds too few that are.
 */
export function propose(
  segment: Segment,
  { query, count, homes }: { query: Int8Array; count: number; homes: SlotHomes },
): Uint32Array | undefined {
  const live = homes.count(segment.place);
  const enough = Math.min(count, live);
  // What has changed or gone since takes places in the answer.
  let width = Math.ceil((graphWidth(segment.rows, count) * segment.rows) / Math.max(1, live));
  for (; ; width *= 4) {
    const asked = Math.min(width, segment.rows, mostProposals);
    const { keys } = segment.graph.search(query, asked, 1);
    const slots = Uint32Array.from(keys, Number).filter((slot) => homes.get(slot) === segment.place);
    if (slots.length >= enough) return slots.sort();
    if (asked < width) return undefined;
  }
}
