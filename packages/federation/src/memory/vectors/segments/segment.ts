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

/**
 * How many to ask a graph for. Its own order is that of coarse numbers, so the best are somewhere among several times as many; but where
 * there are many graphs, each has only its share of the best.
 */
export function graphWidth(count: number, graphs: number): number {
  return Math.ceil(Math.max(12, (6 * count) / graphs ** 0.75));
}

/** Searching for more costs as much as comparing with every row. */
const mostProposals = 4096;

export interface Proposing {
  readonly query: Int8Array;
  /** Of all graphs together. */
  readonly count: number;
  readonly graphs: number;
  readonly homes: SlotHomes;
}

/**
 * The slots that the graph proposes and that are still as they were sealed, ascending: at least its share of `count`, or all there are.
 * Undefined when the graph finds too few that are.
 */
export function propose(
  segment: Segment,
  { query, count, graphs, homes }: Proposing,
): Uint32Array | undefined {
  const live = homes.count(segment.place);
  const enough = Math.min(Math.ceil(count / graphs), live);
  // What has changed or gone since takes places in the answer.
  let width = Math.ceil((graphWidth(count, graphs) * segment.rows) / Math.max(1, live));
  for (; ; width *= 4) {
    const asked = Math.min(width, segment.rows, mostProposals);
    const { keys } = segment.graph.search(query, asked, 1);
    const slots = slotsOf(keys, (slot) => homes.get(slot) === segment.place);
    if (slots.length >= enough) return slots.sort();
    if (asked < width) return undefined;
  }
}

/** Where in eight bytes the lower four are. */
const lowHalf = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 0 : 1;

/** Slots are below 2^32: half of each key is read in place, since a bigint for each would take as long as a tenth of the search. */
function slotsOf(keys: BigUint64Array, isWanted: (slot: number) => boolean): Uint32Array {
  const halves = new Uint32Array(keys.buffer, keys.byteOffset, keys.length * 2);
  const slots = new Uint32Array(keys.length);
  let count = 0;
  for (let at = lowHalf; at < halves.length; at += 2) {
    const slot = halves[at]!; // within its length
    if (isWanted(slot)) slots[count++] = slot;
  }
  return slots.subarray(0, count);
}
