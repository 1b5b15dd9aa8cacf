/** Lets everything else run that waits for the event loop. Node only: browsers have no setImmediate, and no local store. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Tells when work has held the event loop long enough. */
export class Slice {
  readonly #lengthMs: number;
  #startMs: number = performance.now();

  constructor(lengthMs = 4) {
    this.#lengthMs = lengthMs;
  }

  get isOver(): boolean {
    return performance.now() - this.#startMs > this.#lengthMs;
  }

  /** Call it now and then; it waits only when the slice is over. */
  async rest(): Promise<void> {
    await nextTurn();
    this.#startMs = performance.now();
  }
}
