// Tasks that take longer than this altogether are not worth keeping from others.
const worthMs = 20;
const mostAhead = 50;

/**
 * How many tasks a worker claims beyond what its hands can hold: none, unless its tasks take but a few milliseconds and there are many.
 * Then asking for each alone would take longer than doing it.
 */
export class Foresight {
  readonly #hands: number;
  #ahead = 0;
  #averageMs: number | undefined;

  constructor(hands: number) {
    this.#hands = hands;
  }

  get ahead(): number {
    if (this.#averageMs === undefined) return 0;
    return Math.min(this.#ahead, Math.floor((this.#hands * worthMs) / Math.max(1, this.#averageMs)));
  }

  /** A handler took so long. */
  took(ms: number): void {
    this.#averageMs = this.#averageMs === undefined ? ms : this.#averageMs * 0.75 + ms * 0.25;
    if (ms > worthMs) this.#ahead = 0;
  }

  /** A claim got all it asked for. */
  thereIsMore(): void {
    this.#ahead = Math.min(mostAhead, Math.max(1, this.#ahead * 2));
  }

  /** What was claimed ahead had to wait. */
  wasWrong(): void {
    this.#ahead = 0;
  }
}
