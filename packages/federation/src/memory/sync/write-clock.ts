import { toError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/log.ts";
import type { Hlc } from "../memory-row.ts";
import { readNumber, type Facts } from "./facts.ts";
import { laterOf, tick } from "./hlc.ts";
import type { ServerTime } from "./server-time.ts";

/** Beyond this the server puts its own time on a row. */
export const maxAheadMs = 60_000;

// One fact is written for so many milliseconds of readings; a restart skips what is left of them.
const reservedMs = 2_000;

export interface WriteClockParts {
  readonly facts: Facts;
  readonly time: Pick<ServerTime, "now" | "isKnown">;
  /** Different for each process. */
  readonly writer: string;
  readonly log: Log;
}

/** Whether the server would not take `hlc` as it is: its writer's clock was wrong. */
export function isAhead(hlc: Hlc, serverNowMs: number): boolean {
  return hlc.ms > serverNowMs + maxAheadMs;
}

/**
 * The readings for this process's writes: each later than the one before, than what it has seen of others, and than what a process
 * before it wrote to the same store. It goes back in one case only: when the server's time is known and it is ahead of that beyond the bound.
 */
export class WriteClock {
  readonly #parts: WriteClockParts;
  #last: Hlc;
  /** The last reading before readings went further at once than the bound: right, should those after it turn out to be wrong. */
  #beforeLeap: Hlc;
  #limitMs: number;

  constructor(parts: WriteClockParts) {
    this.#parts = parts;
    this.#limitMs = readNumber(parts.facts, "clock") ?? 0;
    this.#last = { ms: this.#limitMs, counter: 0, writer: parts.writer };
    this.#beforeLeap = this.#last;
  }

  /**
   * The reading for a write that replaces `held`. What says how far readings may go is given to the store before the write can be, and
   * the store makes things durable in the order in which it gets them.
   */
  stamp(held?: Hlc): Hlc {
    const nowMs = this.#parts.time.now();
    this.#putRight(nowMs);
    if (held !== undefined) this.witness(held);
    this.#moveTo(tick(nowMs, this.#last));
    this.#reserve();
    return this.#last;
  }

  /** Whatever is written from now on is later than `seen`, unless that is out of bounds. */
  witness(seen: Hlc): void {
    if (this.#isWrong(seen)) return;
    this.#putRight(this.#parts.time.now());
    this.#moveTo({ ...laterOf(this.#last, seen), writer: this.#parts.writer });
  }

  #putRight(nowMs: number): void {
    if (!this.#isWrong(this.#last)) return;
    this.#last = { ms: Math.floor(nowMs), counter: 0, writer: this.#last.writer };
    if (!this.#isWrong(this.#beforeLeap)) this.#last = laterOf(this.#last, this.#beforeLeap);
  }

  #moveTo(next: Hlc): void {
    if (isAhead(next, this.#last.ms)) this.#beforeLeap = this.#last;
    this.#last = next;
  }

  // While nobody has said what time it is, the clock of this machine may as well be behind.
  #isWrong(hlc: Hlc): boolean {
    const { time } = this.#parts;
    return time.isKnown && isAhead(hlc, time.now());
  }

  #reserve(): void {
    const { facts, log } = this.#parts;
    const { ms } = this.#last;
    if (ms <= this.#limitMs && this.#limitMs <= ms + maxAheadMs) return;
    this.#limitMs = ms + reservedMs;
    facts.writeFact("clock", String(this.#limitMs)).catch((error: unknown) => {
      log("error", "the write clock could not be kept", { error: toError(error) });
    });
  }
}
