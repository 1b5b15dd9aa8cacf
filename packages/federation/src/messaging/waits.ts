import { sleep, withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError, isRetryable } from "../runtime/errors.ts";

export interface WaitOptions<T, Hint> {
  /** What a hint would be told under. */
  readonly key: string;
  /** Asks the database; undefined: not yet. */
  readonly look: () => Promise<T | undefined>;
  /** Whether a hint says enough; undefined: look again. */
  readonly accept?: (hint: Hint) => T | undefined;
  readonly signal: AbortSignal;
}

export interface DeadlineOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** What took too long. */
  readonly what: string;
  readonly remedy: string;
}

// A hint can be lost: the database is asked again after this long.
const lookAgainMs = 5_000;

/** Those who wait for news of a message. A hint wakes them; what counts is what the database says. */
export class Waits<Hint> {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<(hint: Hint) => void>>();
  readonly #stop = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether somebody waits for this. */
  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  tell(key: string, hint: Hint): void {
    for (const wake of this.#waiting.get(key) ?? []) wake(hint);
  }

  /** Runs `wait` until its deadline. Rejects with FederationError "timeout", "closed", or the signal's reason. */
  within<T>(
    { timeoutMs, signal, what, remedy }: DeadlineOptions,
    wait: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const stop = this.#stop.signal;
    return withDeadline(wait, {
      clock: this.#clock,
      ms: timeoutMs,
      signal: signal === undefined ? stop : AbortSignal.any([signal, stop]),
      error: () => new FederationError("timeout", `${what}: not within ${timeoutMs} ms`, { remedy }),
    });
  }

  /** Resolves once `look` finds it, or a hint says it. Failures that may pass are passed over. */
  async until<T>({ key, look, accept, signal }: WaitOptions<T, Hint>): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const round = new AbortController();
      let wake = (_hint: Hint): void => {};
      const hinted = new Promise<Hint>((resolve) => (wake = resolve));
      this.#add(key, wake);
      try {
        const found = await look().catch((error: unknown) => {
          if (!isRetryable(error)) throw error;
          return undefined;
        });
        if (found !== undefined) return found;
        const pause = sleep(this.#clock, lookAgainMs, AbortSignal.any([signal, round.signal]));
        const hint = await Promise.race([hinted, pause.catch(() => undefined)]);
        const said = hint === undefined ? undefined : accept?.(hint);
        if (said !== undefined) return said;
      } finally {
        round.abort();
        this.#remove(key, wake);
      }
    }
  }

  /** Everybody who waits is told that it is over. */
  close(): void {
    this.#stop.abort(new FederationError("closed", "the hub was shut down while this was waited for"));
  }

  #add(key: string, wake: (hint: Hint) => void): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, new Set([wake]));
    else waiting.add(wake);
  }

  #remove(key: string, wake: (hint: Hint) => void): void {
    const waiting = this.#waiting.get(key);
    waiting?.delete(wake);
    if (waiting?.size === 0) this.#waiting.delete(key);
  }
}
