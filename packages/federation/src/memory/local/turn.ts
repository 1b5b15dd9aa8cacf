/** Lets everything else run that waits for the event loop. Node only: browsers have no setImmediate, and no local store. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Tells when work has held the event loop long enough. */
export class Slice {
  readonly #lengthMs: number;
  #startMs: number = performance.now();
  /** How often it has let others run. */
  rests = 0;

  constructor(lengthMs = 4) {
    this.#lengthMs = lengthMs;
  }

  get isOver(): boolean {
    return performance.now() - this.#startMs > this.#lengthMs;
  }

  /** Begins another slice when `rest` has resolved. */
  async rest(rest: () => Promise<void> = nextTurn): Promise<void> {
    this.rests += 1;
    await rest();
    this.#startMs = performance.now();
  }
}
