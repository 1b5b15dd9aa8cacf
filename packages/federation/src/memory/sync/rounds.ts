import { backoffMs, type Backoff } from "../../runtime/backoff.ts";
import type { Clock } from "../../runtime/clock.ts";
import { toError } from "../../runtime/errors.ts";
import { retryAfterMsOf } from "./retry-after.ts";

export interface RoundsParts<T> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly backoff: Backoff;
  /** Begins a round when nobody asked for one for so long. */
  readonly intervalMs: number;
  /** One round. It is never run twice at once. */
  readonly round: (signal: AbortSignal) => Promise<T>;
  /** Whether there is more that this round could not have yet: the next begins after a short wait, which grows while that stays so. */
  readonly isUnfinished?: (result: T) => boolean;
  readonly onFailure: (error: Error) => void;
}

/*  open ──failure──▶ retrying ──back-off over──▶ open
 *  open ──failure, Retry-After──▶ shut ──time over──▶ retrying or open */
/** Who may begin a round: whoever asks; only one that is forced; nobody. */
type Gate = "open" | "retrying" | "shut";

/** While something cannot be had yet; a hint would not come again. */
const unfinished: Backoff = { minMs: 50, maxMs: 5_000 };

interface Waiting<T> {
  readonly resolve: (result: T) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Runs rounds one after the other: soon after `wake()`, at intervals, and after a failure with growing waits. Waits are lengths of time,
 * never times of day: a machine whose clock is put back by hours goes on as before.
 */
export class Rounds<T> {
  readonly #parts: RoundsParts<T>;
  readonly #waiting: Waiting<T>[] = [];
  #gate: Gate = "open";
  #isWanted = true;
  #failures = 0;
  #unfinished = 0;
  #endedBy: Error | undefined;
  #cancelTimer: () => void = () => undefined;
  #nudge: () => void = () => undefined;

  constructor(parts: RoundsParts<T>) {
    this.#parts = parts;
  }

  /** A round soon; after one that failed, when its wait is over. */
  wake(): void {
    this.#isWanted = true;
    this.#nudge();
  }

  /**
   * The result of a round that begins from now on, and does not sit out the wait after a failure, unless the server asked for it.
   * Callers who wait together share it.
   */
  force(): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#endedBy !== undefined) return reject(this.#endedBy);
      this.#waiting.push({ resolve, reject });
      this.#nudge();
    });
  }

  /** Ends when `signal` aborts, and rejects what still waits with its reason. */
  async run(signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#nudge();
    signal.addEventListener("abort", onAbort, { once: true });
    while (!signal.aborted) {
      if (this.#isDue()) await this.#runOne(signal);
      else await new Promise<void>((resolve) => (this.#nudge = resolve));
    }
    signal.removeEventListener("abort", onAbort);
    this.#cancelTimer();
    this.#endedBy = toError(signal.reason);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#endedBy);
  }

  #isDue(): boolean {
    if (this.#gate === "shut") return false;
    return this.#waiting.length > 0 || (this.#gate === "open" && this.#isWanted);
  }

  async #runOne(signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting.splice(0);
    this.#cancelTimer();
    this.#gate = "open";
    this.#isWanted = false;
    try {
      const result = await this.#parts.round(signal);
      this.#failures = 0;
      this.#after(this.#nextInMs(result), () => this.wake());
      for (const { resolve } of waiting) resolve(result);
    } catch (thrown) {
      const error = toError(signal.aborted ? signal.reason : thrown);
      if (!signal.aborted) this.#failed(error);
      for (const { reject } of waiting) reject(error);
    }
  }

  #nextInMs(result: T): number {
    const { intervalMs, isUnfinished, random } = this.#parts;
    this.#unfinished = isUnfinished?.(result) === true ? this.#unfinished + 1 : 0;
    return this.#unfinished === 0
      ? intervalMs
      : Math.min(intervalMs, backoffMs(this.#unfinished, unfinished, random));
  }

  #failed(error: Error): void {
    const { random, backoff, onFailure } = this.#parts;
    this.#failures += 1;
    const waitMs = backoffMs(this.#failures, backoff, random);
    const shutMs = retryAfterMsOf(error) ?? 0;
    const retry = (): void => {
      this.#gate = "open";
      this.wake();
    };
    const reopen = (): void => {
      this.#gate = "retrying";
      this.#after(Math.max(0, waitMs - shutMs), retry);
      this.#nudge();
    };
    if (shutMs > 0) {
      this.#gate = "shut";
      this.#after(shutMs, reopen);
    } else reopen();
    onFailure(error);
  }

  #after(ms: number, run: () => void): void {
    this.#cancelTimer = this.#parts.clock.after(ms, run);
  }
}
