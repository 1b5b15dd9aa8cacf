import { settledOrAborted, sleep, withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import type { Missed, MissedMessages } from "./missed-messages.ts";

export interface FeedPlaceParts {
  readonly clock: Clock;
  readonly log: Log;
  /** `feed_place`: null asks for the agent's place; a cursor says that everything before it was handled. */
  readonly keep: (cursor: string | null) => Promise<unknown>;
  /** `start_feed`: this process begins to tell what comes behind the place. */
  readonly start: () => Promise<unknown>;
}

const closeMs = 1_000;
// What is held back mostly waits for a transaction of milliseconds.
const firstLookMs = 25;

/**
 * How far this agent has come on the feed, as the database knows it: where another process of it goes on, and the receipt of what was
 * said to everybody. It is told after a reading that found something, once the handlers of everything that was told have finished.
 */
export class FeedPlace {
  readonly #parts: FeedPlaceParts;
  readonly #unfinished = new Set<Promise<unknown>>();
  #kept: string | undefined;
  #isBehind = false;
  #isAsked = false;
  /** How often this process has said that it begins, since the place moved. */
  #starts = 0;

  constructor(parts: FeedPlaceParts) {
    this.#parts = parts;
  }

  /** `isNew`: the agent had none; it begins here. */
  async begin(): Promise<{ readonly cursor: string; readonly atMs: number; readonly isNew: boolean }> {
    const answer = await this.#parts.keep(null);
    const cursor = isRecord(answer) ? stringField(answer, "cursor") : undefined;
    const atMs = Date.parse((isRecord(answer) ? stringField(answer, "moved_at") : undefined) ?? "");
    if (!isRecord(answer) || cursor === undefined || Number.isNaN(atMs))
      throw new FederationError("protocol", "feed_place: expected cursor and moved_at in the answer");
    this.#kept = cursor;
    return { cursor, atMs, isNew: answer["new"] === true };
  }

  /** How many processes have begun to tell from here, this one included. Each but this one ended before it could say how far it came. */
  async start(): Promise<number> {
    this.#starts++;
    const counted = await this.#parts.start();
    // A call of this process whose answer was lost may have been counted as well: it was nobody else's.
    return Math.max(1, typeof counted === "number" ? counted - this.#starts + 1 : 1);
  }

  /** Everything before the cursor was handled. */
  async moved(cursor: string): Promise<void> {
    await this.#parts.keep(cursor);
    this.#kept = cursor;
    this.#starts = 0;
  }

  /** A broadcast was told, and its handlers run until `finished`. */
  told(finished: Promise<unknown>): void {
    this.#isBehind = true;
    const ended = finished.finally(() => void this.#unfinished.delete(ended));
    this.#unfinished.add(ended);
    ended.catch(() => {});
  }

  /** After the next reading it is told at any rate. */
  asked(): void {
    this.#isAsked = true;
  }

  async wasRead(
    { messages, isHeldBack }: Missed,
    cursor: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const isDue = messages.length > 0 || this.#isAsked;
    if (!isDue || cursor === undefined || cursor === this.#kept) return;
    this.#isAsked = false;
    this.#isBehind = isHeldBack;
    await settledOrAborted(Promise.allSettled(this.#unfinished), signal);
    if (signal.aborted) {
      this.#isBehind = true;
      return;
    }
    try {
      await this.moved(cursor);
    } catch (error) {
      this.#isBehind = true;
      this.#parts.log("debug", "the place on the feed could not be told", { error });
    }
  }

  /** Tells it for the last time, so that the next process does not tell again what this one told. `isTold`: whether this one did. */
  async close(missed: MissedMessages, isTold: (id: string) => boolean): Promise<void> {
    if (!this.#isBehind) return;
    const { clock, log } = this.#parts;
    const error = (): Error => new FederationError("timeout", `feed_place: not within ${closeMs} ms`);
    const last = withDeadline(
      async (signal) => {
        for (let lookMs = firstLookMs; ; lookMs *= 2) {
          const read = await missed.read(signal);
          if (!read.messages.every(({ id }) => isTold(id))) return;
          await this.wasRead(read, missed.cursor, signal);
          if (!read.isHeldBack) return;
          await sleep(clock, lookMs, signal);
        }
      },
      { clock, ms: closeMs, error },
    );
    await last.catch((failure: unknown) =>
      log("debug", "the last place on the feed could not be told", { error: failure }),
    );
  }
}
