import type { WordMatch } from "./word-index.ts";

/** Keeps the best of what it is offered, in a heap with the worst on top. Of equals the lower slot is better, so that answers repeat. */
export class BestSlots {
  readonly #heap: WordMatch[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Scores below are not wanted. */
  get floor(): number {
    return this.#heap.length < this.#limit ? 0 : (this.#heap[0]?.score ?? 0);
  }

  /** Whether `offer` would keep it: asked first where it is dear to find out whether a slot may be in the answer at all. */
  wants(slot: number, score: number): boolean {
    const worst = this.#heap[0];
    if (this.#heap.length < this.#limit || worst === undefined) return this.#limit > 0;
    return score > worst.score || (score === worst.score && slot < worst.slot);
  }

  offer(slot: number, score: number): void {
    if (!this.wants(slot, score)) return;
    const match = { slot, score };
    if (this.#heap.length < this.#limit) this.#rise(this.#heap.push(match) - 1);
    else {
      this.#heap[0] = match;
      this.#sink();
    }
  }

  bestFirst(): WordMatch[] {
    return this.#heap.toSorted((a, b) => (isWorse(a, b) ? 1 : -1));
  }

  #rise(from: number): void {
    for (let at = from; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfWorse(at, parent)) return;
      at = parent;
    }
  }

  #sink(): void {
    for (let at = 0; ;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const worse = this.#isWorseAt(right, left) ? right : left;
      if (!this.#swapIfWorse(worse, at)) return;
      at = worse;
    }
  }

  #isWorseAt(a: number, b: number): boolean {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    return first !== undefined && (second === undefined || isWorse(first, second));
  }

  /** Puts the one at `lower` above the one at `upper` if it is worse. */
  #swapIfWorse(lower: number, upper: number): boolean {
    const [low, high] = [this.#heap[lower], this.#heap[upper]];
    if (low === undefined || high === undefined || !isWorse(low, high)) return false;
    this.#heap[lower] = high;
    this.#heap[upper] = low;
    return true;
  }
}

function isWorse(a: WordMatch, b: WordMatch): boolean {
  return a.score === b.score ? a.slot > b.slot : a.score < b.score;
}
