import type { Clock } from "../../runtime/clock.ts";
import { readNumber, type Facts } from "./facts.ts";

/** One answer that named the server's time, with when it was asked for and when it came, by this machine's clock. */
export interface TimeSample {
  readonly serverTimeMs: number;
  readonly askedMs: number;
  readonly answeredMs: number;
  /** What `aheadMs` was when it was asked for. */
  readonly askedAheadMs?: number | undefined;
}

// Below this, writing the offset down would cost more than it tells after a restart.
const worthKeepingMs = 500;
// Clocks that are kept right are moved by less.
const leapMs = 1_000;

/**
 * The server's time as this machine knows it: its own clock, corrected by what answers say. It does not go back when this machine's
 * clock is put back; it may when an answer says so.
 */
export class ServerTime {
  readonly #clock: Clock;
  readonly #facts: Facts;
  #offsetMs: number;
  #keptMs: number;
  #isKnown = false;
  #lastLocalMs = -Infinity;
  #learnedAheadMs = 0;

  constructor(clock: Clock, facts: Facts) {
    this.#clock = clock;
    this.#facts = facts;
    this.#offsetMs = this.#keptMs = readNumber(facts, "server_offset") ?? 0;
  }

  /** Whether an answer has said so since this process began, and since this machine's clock was last set. */
  get isKnown(): boolean {
    return this.#isKnown && !this.#hasLeaptSince(this.#learnedAheadMs);
  }

  now(): number {
    const localMs = this.#clock.now();
    if (localMs < this.#lastLocalMs) this.#offsetMs += this.#lastLocalMs - localMs;
    this.#lastLocalMs = localMs;
    return localMs + this.#offsetMs;
  }

  /** Of the time of day before the time that passes: changes when the clock is set, and when the machine sleeps. */
  get aheadMs(): number {
    const elapsedMs = this.#clock.elapsed?.();
    return elapsedMs === undefined ? 0 : this.#clock.now() - elapsedMs;
  }

  #hasLeaptSince(aheadMs: number): boolean {
    return Math.abs(this.aheadMs - aheadMs) >= leapMs;
  }

  async learn(sample: TimeSample): Promise<void> {
    this.now(); // a clock put back meanwhile was put back before this answer
    // Set between asking and answering: nobody knows on which side of that the server looked at its own.
    if (sample.askedAheadMs !== undefined && this.#hasLeaptSince(sample.askedAheadMs)) return;
    this.#offsetMs = correctedOffset(this.#offsetMs, sample);
    this.#isKnown = true;
    this.#learnedAheadMs = this.aheadMs;
    if (Math.abs(this.#offsetMs - this.#keptMs) < worthKeepingMs) return;
    this.#keptMs = this.#offsetMs;
    await this.#facts.writeFact("server_offset", String(this.#offsetMs));
  }
}

/**
 * The server looked at its clock at some moment between asking and answering, so the offset lies between two bounds. One that is
 * within them stays as it is; any other moves to the nearer bound, so that slow answers do not make time jump.
 */
export function correctedOffset(offsetMs: number, { serverTimeMs, askedMs, answeredMs }: TimeSample): number {
  const lowest = serverTimeMs - answeredMs;
  const highest = Math.max(lowest, serverTimeMs - askedMs); // the clock may have been put back between the two
  return Math.min(Math.max(offsetMs, lowest), highest);
}
