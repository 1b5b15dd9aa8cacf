import { isFederationError, FederationError, toError } from "../../runtime/errors.ts";
import type { MemoryRow } from "../memory-row.ts";
import type { DeadLetter, OutboxEntry, PushResult, TenantStore } from "../local/local-store.ts";
import { afterTaken, afterTooMuch, firstBatchSize, type BatchLimits, type BatchSize } from "./batch-size.ts";
import type { Doubts } from "./doubts.ts";
import { compareHlc } from "./hlc.ts";
import { afterPushFailure, type AfterFailure } from "./push-failure.ts";
import type { ServerTime } from "./server-time.ts";
import type { PushAnswer, SyncServer } from "./sync-server.ts";
import { isAhead, type WriteClock } from "./write-clock.ts";

/** One request, with its time limit; it also settles when `signal` aborts. */
export type Ask = <T>(
  attempt: string,
  task: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
) => Promise<T>;

export interface PusherParts {
  readonly store: TenantStore;
  readonly server: SyncServer;
  readonly ask: Ask;
  readonly time: ServerTime;
  readonly writeClock: WriteClock;
  readonly doubts: Doubts;
  /** Whether pulling has led nowhere yet (position.ts). */
  readonly isAtStart: () => boolean;
  /** Asks the server for its time, by a pull. */
  readonly learnTime: () => Promise<unknown>;
  /** How many requests other than pushes were answered so far. */
  readonly answered: () => number;
  /** From now on the server may have these as we have them, whether or not it gets to say so. */
  readonly onSending: (rows: readonly MemoryRow[]) => void;
  readonly onSettled: (settled: PushSummary) => void;
  readonly onRefused: (letters: readonly DeadLetter[]) => void;
}

export interface PushSummary {
  readonly pushed: number;
  readonly refused: number;
}

// 64 kB to 8 MB: what PostgREST takes in one call, and what a hosted statement does within its time. No more than 1,000 rows: of a longer
// answer hosted projects give the beginning only.
const limits: BatchLimits = {
  first: { maxRows: 200, maxBytes: 1_000_000 },
  most: { maxRows: 1_000, maxBytes: 8_000_000 },
};

const readAtOnce = 100;

/** Brings the outbox to the server, oldest first, in batches as large as the server likes them. */
export class Pusher {
  readonly #parts: PusherParts;
  #size: BatchSize = firstBatchSize(limits);
  #alone = { place: 0, strikes: 0, answered: -1 };

  constructor(parts: PusherParts) {
    this.#parts = parts;
  }

  /** What was waiting when it began; what is written meanwhile is the next round's. */
  async round(signal: AbortSignal): Promise<PushSummary> {
    const { store, time, isAtStart, learnTime } = this.#parts;
    let left = store.counts(time.now()).pending;
    let pushed = 0;
    let refused = 0;
    while (left > 0 && !signal.aborted) {
      // Without the server's time nobody can tell whether a row's clock is out of bounds, and then every repetition would be a new write.
      // And what the server confirms before pulling has a cursor would stay here if another database, without it, gave the first one.
      while (!time.isKnown || isAtStart()) await learnTime();
      const entries = store.outbox(this.#size);
      if (entries.length === 0) break;
      if (await this.#putClocksRight(entries, signal)) continue;
      const settled = await this.#push(entries, signal);
      left -= settled.pushed + settled.refused;
      pushed += settled.pushed;
      refused += settled.refused;
    }
    return { pushed, refused };
  }

  /** A row whose clock is out of bounds gets a new one before it is sent, durably, so that sending it twice is sending it once. */
  async #putClocksRight(entries: readonly OutboxEntry[], signal: AbortSignal): Promise<boolean> {
    const { time, learnTime } = this.#parts;
    const isWrong = ({ row }: OutboxEntry): boolean => isAhead(row.hlc, time.now());
    if (!entries.some(isWrong)) return false;
    await learnTime(); // this machine's clock may have been put back since: then the row is right
    const wrong = entries.filter(isWrong);
    for (let at = 0; at < wrong.length; at += readAtOnce)
      await this.#stampAnew(wrong.slice(at, at + readAtOnce), signal);
    return true;
  }

  /** Later than what such a row replaced: that is no longer here, and may be on the server with a clock ahead by less than the bound. */
  async #stampAnew(wrong: readonly OutboxEntry[], signal: AbortSignal): Promise<void> {
    const { store, server, ask, writeClock } = this.#parts;
    const ids = wrong.map(({ row }) => row.id);
    const replaced = await ask("read", (inner) => server.read(ids, inner), signal);
    for (const { row } of replaced) writeClock.witness(row.hlc);
    for (const { row } of wrong) {
      const write = { row: { ...row, hlc: writeClock.stamp() }, expect: row.version };
      await store.write([write], { outbox: true }).catch((error: unknown) => {
        if (!isFederationError(error, "conflict")) throw error; // written again meanwhile: that one counts
      });
    }
  }

  async #push(entries: readonly OutboxEntry[], signal: AbortSignal): Promise<PushSummary> {
    const { server, ask, time, store, onSending } = this.#parts;
    const rows = entries.map(({ row }) => row);
    onSending(rows);
    const sentMs = time.now();
    let answers: readonly PushAnswer[];
    try {
      answers = await ask("push", (inner) => server.push(rows, inner), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      return await this.#failed(entries, error);
    }
    if (answers.length !== entries.length) {
      throw new FederationError(
        "protocol",
        `push: expected ${entries.length} answers, got ${answers.length}`,
      );
    }
    const isFull = store.counts(time.now()).pending > entries.length;
    this.#size = afterTaken(this.#size, { isFull, tookMs: time.now() - sentMs }, limits);
    return await this.#settle(entries, answers);
  }

  async #failed(entries: readonly OutboxEntry[], error: unknown): Promise<PushSummary> {
    const decision = this.#decide(entries, error);
    if (decision === "smaller" || decision === "smaller_later") {
      this.#size = afterTooMuch(this.#size, entries.length);
    }
    if (decision === "smaller") return { pushed: 0, refused: 0 };
    if (decision !== "refuse") throw error;
    const { message } = toError(error);
    const code = isFederationError(error) ? error.code : "unknown";
    return await this.#settle(entries, [{ outcome: "refused", reason: message, code }]);
  }

  #decide(entries: readonly OutboxEntry[], error: unknown): AfterFailure {
    const [first] = entries;
    if (entries.length === 1 && first !== undefined) {
      const answered = this.#parts.answered();
      if (this.#alone.place !== first.place) this.#alone = { place: first.place, strikes: 0, answered: -1 };
      if (answered > this.#alone.answered) {
        this.#alone = { place: first.place, strikes: this.#alone.strikes + 1, answered };
      }
    }
    return afterPushFailure({ error, rows: entries.length, strikes: this.#alone.strikes });
  }

  async #settle(entries: readonly OutboxEntry[], answers: readonly PushAnswer[]): Promise<PushSummary> {
    const { store, doubts, time, writeClock, onSettled, onRefused } = this.#parts;
    const results: PushResult[] = [];
    const letters: DeadLetter[] = [];
    const doubted: string[] = [];
    entries.forEach(({ row, place }, index) => {
      const answer = answers[index]!; // as many as entries, looked at above
      if (answer.outcome === "refused") {
        const { reason, code } = answer;
        results.push({ outcome: "refused", place, reason, code });
        letters.push({ row, place, reason, code, refused_at: new Date(time.now()).toISOString() });
        doubted.push(row.id);
        return;
      }
      results.push({ outcome: answer.outcome, place, row: answer.row });
      writeClock.witness(answer.row.hlc);
      // It took the place of what others wrote since, which we may have passed over for our clock's sake.
      if (compareHlc(answer.row.hlc, row.hlc) < 0) doubted.push(row.id);
    });
    await doubts.after(doubted, () => store.settle(results));
    const settled = { pushed: results.length - letters.length, refused: letters.length };
    onSettled(settled);
    if (letters.length > 0) onRefused(letters);
    return settled;
  }
}
