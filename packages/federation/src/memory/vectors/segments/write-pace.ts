/** So many writes between two looks at whether a build is due. */
export const writesBetweenLooks = 1000;
/** Where they take no longer, writes come quickly; and are over when there were fewer for as long. */
const quickMs = 1_000;

/** Tells a bulk write, which wants the processor for itself, from writes now and then. */
export class WritePace {
  readonly #nowMs: () => number;
  readonly #after: (ms: number, then: () => void) => () => void;
  #lookedMs = -Infinity;
  #quickUntilMs = -Infinity;
  #forget: (() => void) | undefined;

  /** `after` calls back once, unless what it answers is called before. */
  constructor({
    nowMs = () => performance.now(),
    after = later,
  }: { nowMs?: () => number; after?: (ms: number, then: () => void) => () => void } = {}) {
    this.#nowMs = nowMs;
    this.#after = after;
  }

  get isQuick(): boolean {
    return this.#nowMs() < this.#quickUntilMs;
  }

  /** Said after every so many writes. */
  looked(): void {
    const now = this.#nowMs();
    if (now - this.#lookedMs < quickMs) this.#quickUntilMs = now + quickMs;
    this.#lookedMs = now;
  }

  /** Calls back once writes no longer come quickly, who asked last. */
  whenSlow(then: () => void): void {
    this.#forget?.();
    this.#forget = this.#after(Math.max(0, this.#quickUntilMs - this.#nowMs()), () => {
      if (this.isQuick) this.whenSlow(then);
      else then();
    });
  }

  /** Calls nobody back any more. */
  stop(): void {
    this.#forget?.();
    this.#forget = undefined;
  }
}

/** Does not keep the process alive. */
function later(ms: number, then: () => void): () => void {
  const timer = setTimeout(then, ms);
  timer.unref();
  return () => clearTimeout(timer);
}
