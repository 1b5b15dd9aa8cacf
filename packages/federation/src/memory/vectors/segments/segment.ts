import { rowHash } from "./row-hash.ts";
import { nowhere, type SlotHomes } from "./slot-homes.ts";

/** What is searched of a graph. */
export interface SearchGraph {
  /** About the nearest `count`, at least 12 if there are so many, about the nearest first; undefined where it cannot be asked any more. */
  search(query: Int8Array, count: number): Uint32Array | Promise<Uint32Array | undefined>;
  /** Resolves when its file is no longer used. */
  close(): Promise<void>;
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
 * How many to ask a graph for that has such a share of all rows. Its own order is that of coarse numbers, so the best are somewhere among
 * several times as many; but where there are many graphs, each has only its share of the best.
 */
export function graphWidth(count: number, share: number): number {
  return Math.ceil(Math.max(12, 6 * count * share ** 0.75));
}

/** In a large graph a query that asks for few may end among rows that are alike, and not like it: of 500,000 rows it finds 96 of 100 with 300 and 97 with 400. */
const rowsPerWidth = 1_200;
/** Searching for more costs as much as comparing with every row. */
const mostProposals = 4096;

export interface Proposing {
  readonly query: Int8Array;
  /** Of all graphs together. */
  readonly count: number;
  /** How many rows all graphs have that are still as they were sealed. */
  readonly rows: number;
  readonly homes: SlotHomes;
}

/**
 * The slots that the graph proposes, ascending: among them at least its share of `count` that are still as they were sealed, or all there are.
 * Undefined when the graph finds too few that are.
 */
export async function propose(
  segment: Segment,
  { query, count, rows, homes }: Proposing,
): Promise<Uint32Array | undefined> {
  const live = homes.count(segment.place);
  const share = live / Math.max(1, rows);
  const enough = Math.min(Math.ceil(count * share), live);
  // What has changed or gone since takes places in the answer.
  let width = Math.ceil((graphWidth(count, share) * segment.rows) / Math.max(1, live));
  for (; ; width *= 4) {
    const asked = Math.min(width, segment.rows, mostProposals);
    const asking = segment.graph.search(query, Math.max(asked, Math.floor(segment.rows / rowsPerWidth)));
    const near = (asking instanceof Promise ? await asking : asking)?.subarray(0, asked);
    if (near === undefined) return undefined;
    let found = 0;
    for (const slot of near) if (homes.get(slot) === segment.place) found += 1;
    // Rows may have gone while the graph was asked; and one that has moved to another segment may have been missed there.
    if (found >= Math.min(enough, homes.count(segment.place)))
      return near.filter((slot) => homes.get(slot) !== nowhere).sort();
    if (asked < width) return undefined;
  }
}
