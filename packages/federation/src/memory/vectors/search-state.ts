import { largestHeap, type RowLayout } from "./row-layout.ts";
import { quantiseQuery } from "./quantise.ts";

/**
 * One search while it runs: the query, and the best candidates so far as a binary heap with the worst at its root. Worse is a lower
 * score, at equal scores the higher slot, so that every order of looking gives the same candidates. The kernel works on a copy.
 */
export interface SearchState {
  readonly query: Int16Array;
  /** Times a row's score it is the cosine. */
  readonly queryScale: number;
  /** Of the query behind its first and its second part, a little longer than they are. */
  readonly lengthBehindFirst: number;
  readonly lengthBehindHalf: number;
  readonly count: number;
  readonly scores: Float32Array;
  readonly slots: Uint32Array;
  size: number;
}

export function beginSearch(vector: Float32Array, count: number, layout: RowLayout): SearchState {
  const query = new Int16Array(layout.valueBytes);
  const queryScale = quantiseQuery(vector, query);
  return {
    query,
    queryScale,
    lengthBehindFirst: lengthBehind(query, layout.firstBytes),
    lengthBehindHalf: lengthBehind(query, layout.halfBytes),
    count,
    scores: new Float32Array(count),
    slots: new Uint32Array(count),
    size: 0,
  };
}

function lengthBehind(query: Int16Array, from: number): number {
  let squares = 0;
  for (let at = from; at < query.length; at++) squares += query[at]! * query[at]!; // within its length
  return Math.sqrt(squares) * 1.000001;
}

/** Whether the kernel has room for the candidates; otherwise plain JavaScript looks. */
export function fitsKernel(state: SearchState): boolean {
  return state.count <= largestHeap;
}

/** Takes the candidate if it is better than the worst, or if there is room. */
export function offer(state: SearchState, score: number, slot: number): void {
  const { scores, slots, count, size } = state;
  if (size < count) {
    let at = size;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isWorse(score, slot, scores[parent] ?? 0, slots[parent] ?? 0)) break;
      move(state, parent, at);
      at = parent;
    }
    scores[at] = score;
    slots[at] = slot;
    state.size = size + 1;
  } else if (count > 0 && isWorse(scores[0] ?? 0, slots[0] ?? 0, score, slot)) {
    replaceRoot(state, size, score, slot);
  }
}

/** Forgets candidates; the heap is built again from the others. */
export function dropCandidates(state: SearchState, isDropped: (slot: number) => boolean): void {
  const kept: [number, number][] = [];
  for (let at = 0; at < state.size; at++) {
    const slot = state.slots[at] ?? 0;
    if (!isDropped(slot)) kept.push([state.scores[at] ?? 0, slot]);
  }
  state.size = 0;
  for (const [score, slot] of kept) offer(state, score, slot);
}

/** Best first, as cosines; the state is used up. */
export function endSearch(state: SearchState, count: number): { slots: Uint32Array; scores: Float32Array } {
  const found = state.size;
  // The worst goes behind the others, again and again.
  for (let end = found - 1; end > 0; end--) {
    const score = state.scores[end] ?? 0;
    const slot = state.slots[end] ?? 0;
    move(state, 0, end);
    replaceRoot(state, end, score, slot);
  }
  const length = Math.min(found, count);
  const scores = state.scores.slice(0, length);
  for (let at = 0; at < length; at++) scores[at] = (scores[at] ?? 0) * state.queryScale;
  return { slots: state.slots.slice(0, length), scores };
}

function replaceRoot(state: SearchState, size: number, score: number, slot: number): void {
  const { scores, slots } = state;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    const right = child + 1;
    if (right < size && isWorse(scores[right] ?? 0, slots[right] ?? 0, scores[child] ?? 0, slots[child] ?? 0))
      child = right;
    if (!isWorse(scores[child] ?? 0, slots[child] ?? 0, score, slot)) break;
    move(state, child, at);
    at = child;
  }
  scores[at] = score;
  slots[at] = slot;
}

function move({ scores, slots }: SearchState, from: number, to: number): void {
  scores[to] = scores[from] ?? 0;
  slots[to] = slots[from] ?? 0;
}

function isWorse(a: number, aSlot: number, b: number, bSlot: number): boolean {
  return a < b || (a === b && aSlot > bSlot);
}
