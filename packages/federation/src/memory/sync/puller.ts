import { FederationError, isFederationError } from "../../runtime/errors.ts";
import type { TenantStore } from "../local/local-store.ts";
import type { Hlc, MemoryRow } from "../memory-row.ts";
import type { Admission } from "./admission.ts";
import { afterTaken, afterTooMuch, firstBatchSize, type BatchLimits, type BatchSize } from "./batch-size.ts";
import { changesOf } from "./changes.ts";
import { Comparison } from "./comparison.ts";
import type { Doubts } from "./doubts.ts";
import { readIds } from "./facts.ts";
import { compareHlc } from "./hlc.ts";
import { LastTold } from "./last-told.ts";
import {
  decodeTold,
  encodePosition,
  encodeTold,
  isAtStart,
  startingPosition,
  type Position,
} from "./position.ts";
import { completed } from "./own-rows.ts";
import type { Ask } from "./pusher.ts";
import { ReadAgain } from "./read-again.ts";
import type { ServerTime } from "./server-time.ts";
import type { PullAnswer, SyncServer } from "./sync-server.ts";
import type { SyncChange } from "./sync-state.ts";
import type { WriteClock } from "./write-clock.ts";

export interface PullerParts {
  readonly store: TenantStore;
  readonly server: SyncServer;
  readonly ask: Ask;
  /** Of this process: what it wrote, it need not read again. */
  readonly writer: string;
  readonly clock: { now(): number };
  readonly time: ServerTime;
  readonly writeClock: WriteClock;
  readonly doubts: Doubts;
  readonly admission: Admission;
  readonly filterKey: string;
  readonly onPulled: (rows: number) => void;
  readonly onChanges: (changes: readonly SyncChange[]) => void;
}

const pages: BatchLimits = {
  first: { maxRows: 500, maxBytes: 1_000_000 },
  most: { maxRows: 2_000, maxBytes: 4_000_000 },
};
const sweptAtOnce = 100;

type Loading = Extract<Position, { phase: "loading" }> & { readonly sinceMs: number };

export interface PullSummary {
  readonly pulled: number;
  /** Something has been committed that cannot be read yet (PullAnswer). */
  readonly isHeldBack: boolean;
}

/** A later write, or the same one with another mark of the server: one that it made, or that a backup took back. */
function isOther(row: MemoryRow, held: MemoryRow): boolean {
  const order = compareHlc(row.hlc, held.hlc);
  return order > 0 || (order === 0 && row.version !== held.version);
}

function isLater(held: MemoryRow | undefined, row: MemoryRow): boolean {
  return held !== undefined && compareHlc(held.hlc, row.hlc) > 0;
}

function isBefore({ updated_at }: MemoryRow, ms: number): boolean {
  return Date.parse(updated_at) < ms;
}

/** Brings what the server has to the store, in the order of the server, and remembers where it stands. */
export class Puller {
  readonly #parts: PullerParts;
  readonly #readAgain: ReadAgain;
  #size: BatchSize = firstBatchSize(pages);
  #position: Position;
  #comparison: Comparison | undefined;
  /** What was replaced, or was about to be, before anybody was told; kept. */
  readonly #untold: Set<string>;
  /** By the server's time: what was written before has been told. */
  #toldAtMs: number;
  /** What this process sent to the server and has not heard of again: to be told, although it is here already. */
  readonly #owed = new Map<string, Hlc>();
  readonly #lastTold = new LastTold();

  constructor(parts: PullerParts) {
    const { store, filterKey } = parts;
    this.#parts = parts;
    this.#readAgain = new ReadAgain({
      ...parts,
      tell: (changes) => this.#tell(changes),
      remember: (ids) => this.#remember(ids),
      isUntold: (row) => this.#isUntold(row),
      wasAtFirst: (row) => this.#wasAtFirst(row),
    });
    const told = decodeTold(store.readFact("told"));
    this.#position = startingPosition(store.readFact("cursor"), told, filterKey);
    this.#toldAtMs = told?.atMs ?? Infinity;
    this.#untold = new Set(readIds(store, "untold"));
  }

  get position(): Position {
    return this.#position;
  }

  /** The server may have these from us. */
  sending(rows: readonly MemoryRow[]): void {
    for (const { id, hlc } of rows) this.#owed.set(id, hlc);
  }

  /** Reads what was changed on the server itself: here at once, and told when a page brings it, if it is news. */
  async takeIn(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const { store, server, ask, writeClock, admission } = this.#parts;
    const found = await ask("read", (inner) => server.read(ids, inner), signal);
    const rows = found.map(({ row }) => row);
    for (const { hlc } of rows) writeClock.witness(hlc);
    await store.apply(rows.filter((row) => admission.takes(row)));
  }

  /** Until the server has nothing more to read. */
  async round(signal: AbortSignal): Promise<PullSummary> {
    const { time, admission } = this.#parts;
    let pulled = 0;
    await this.#readAgain.tellGone();
    if (!isAtStart(this.#position)) await this.#resolveDoubts(signal);
    for (;;) {
      const answer = await this.#ask(signal);
      if (answer.isReset) {
        await this.#compareAnew();
        continue;
      }
      for (const { row } of answer.rows) this.#parts.writeClock.witness(row.hlc);
      await this.#take(answer, signal);
      pulled += answer.rows.length;
      this.#parts.onPulled(answer.rows.length);
      await admission.makeRoom(time.now());
      if (!answer.done) continue;
      await this.#resolveDoubts(signal);
      return { pulled, isHeldBack: answer.isHeldBack };
    }
  }

  async #ask(signal: AbortSignal): Promise<PullAnswer> {
    const { ask, clock, time } = this.#parts;
    if (this.#position.phase === "comparing" && this.#comparison === undefined) await this.#compareAnew();
    const cursor = this.#position.phase === "comparing" ? this.#comparison?.cursor : this.#position.cursor;
    const [askedMs, askedAheadMs] = [clock.now(), time.aheadMs];
    const size = this.#size;
    const asked = ask("pull", (inner) => this.#pull(cursor, size, inner), signal);
    const answer = await asked.catch((error: unknown) => {
      const isTooMuch = isFederationError(error, "timeout") || isFederationError(error, "too_large");
      if (isTooMuch) this.#size = afterTooMuch(size, size.maxRows);
      throw error;
    });
    const answeredMs = clock.now();
    const taken = { isFull: !answer.done, tookMs: answeredMs - askedMs };
    this.#size = afterTaken(size, taken, pages);
    await time.learn({ serverTimeMs: answer.serverTimeMs, askedMs, answeredMs, askedAheadMs });
    const isStuck = answer.rows.length === 0 && !answer.done && !answer.isReset && answer.cursor === cursor;
    if (isStuck || (answer.isReset && cursor === undefined)) {
      const found = isStuck ? "an empty page that is not the last" : "a reset at the start";
      throw new FederationError("protocol", `pull: expected rows, got ${found}`);
    }
    return answer;
  }

  /** A page, of what this process wrote only what the server made of it. */
  async #pull(cursor: string | undefined, size: BatchSize, signal: AbortSignal): Promise<PullAnswer> {
    const { server, store, writer } = this.#parts;
    if (this.#position.phase !== "live") return await server.pull(cursor, size, signal);
    const answer = await server.pull(cursor, { ...size, writer }, signal);
    const rows = completed(answer.rows, (id) => store.get(id));
    return rows === undefined ? await server.pull(cursor, size, signal) : { ...answer, rows };
  }

  async #take(answer: PullAnswer, signal: AbortSignal): Promise<void> {
    switch (this.#position.phase) {
      case "loading":
        return await this.#load(answer, {
          ...this.#position,
          sinceMs: this.#position.sinceMs ?? answer.serverTimeMs,
        });
      case "comparing":
        return await this.#compare(answer, signal);
      case "live":
        return await this.#follow(answer);
    }
  }

  async #load(answer: PullAnswer, from: Loading): Promise<void> {
    const { rows, cursor, done } = answer;
    const { store, admission } = this.#parts;
    const taken = rows.map(({ row }) => row).filter((row) => admission.takes(row));
    const news = taken.filter((row) => !isBefore(row, from.sinceMs) || this.#isOwed(row));
    const changes = news.flatMap((row) => changesOf(row, store.get(row.id)));
    let rest: readonly MemoryRow[] = taken;
    if (changes.length > 0) {
      // Readable first, then told, then moved on: should the process end in between, the next one takes the page and tells again.
      await this.#moveWith(taken, from);
      this.#tell(changes);
      rest = [];
    }
    if (done) await this.#goLive(rest, cursor, this.#completeMs(answer));
    else await this.#moveWith(rest, { ...from, cursor });
  }

  async #follow(answer: PullAnswer): Promise<void> {
    const { rows, cursor } = answer;
    const { store, admission } = this.#parts;
    if (rows.length === 0 && this.#position.phase === "live" && this.#position.cursor === cursor) return;
    const taken = rows.map(({ row }) => row).filter((row) => admission.takes(row));
    const changes = taken.flatMap((row) => changesOf(row, store.get(row.id)));
    await this.#moveWith(taken, { ...this.#position, phase: "live", cursor });
    // Readable by now. Should the process end before all are told, the next one begins where telling ended.
    this.#tell(changes);
    await this.#toldUpTo(cursor, this.#completeMs(answer));
  }

  async #compare(answer: PullAnswer, signal: AbortSignal): Promise<void> {
    const { rows, cursor, done } = answer;
    const { store, admission } = this.#parts;
    const comparison = (this.#comparison ??= new Comparison());
    const taken: MemoryRow[] = [];
    const unwanted: string[] = [];
    const changes: SyncChange[] = [];
    for (const { row } of rows) {
      const held = store.get(row.id);
      comparison.saw(row, held);
      if (!admission.wants(row) && row.deleted_at === null) {
        if (held !== undefined) unwanted.push(row.id);
      } else if (admission.takes(row)) {
        taken.push(row);
        const isNews = held === undefined ? !this.#wasAtFirst(row) : isOther(row, held);
        // Under what is held and later, what was there at first is no news; whether it takes that one's place is seen at the end.
        const isUnder = this.#wasAtFirst(row) && isLater(held, row);
        if (isNews || (this.#isUntold(row) && !isUnder)) changes.push(...changesOf(row, held));
      }
    }
    await this.#remember(changes.map(({ row }) => row.id));
    await store.apply(taken);
    if (unwanted.length > 0) await store.forget(unwanted); // not what is to be pushed
    this.#tell(changes);
    comparison.cursor = cursor;
    if (!done) return;
    await this.#sweep(comparison, signal);
    this.#tell(await this.#readAgain.asThere([...this.#untold], signal));
    await this.#goLive([], cursor, this.#completeMs(answer));
    await this.#allTold();
    this.#comparison = undefined;
  }

  /** What the server did not mention, and what is newer here, is asked about by id: slices, so that others get their turn. */
  async #sweep(comparison: Comparison, signal: AbortSignal): Promise<void> {
    const options = { isComparison: true, signal };
    let slice: string[] = [];
    for await (const row of this.#parts.store.rows()) {
      if (comparison.hasSeen(row.id)) continue;
      slice.push(row.id);
      if (slice.length < sweptAtOnce) continue;
      await this.#readAgain.readAgain(slice, options);
      slice = [];
    }
    await this.#readAgain.readAgain([...slice, ...comparison.newerHere], options);
  }

  async #resolveDoubts(signal: AbortSignal): Promise<void> {
    const { doubts } = this.#parts;
    if (doubts.isEmpty) return;
    const doubted = doubts.all();
    await this.#readAgain.readAgain([...doubted.keys()], { isComparison: false, signal });
    await doubts.resolved(doubted);
  }

  /** Was there before listeners had to be told of anything (position.ts), and they never were. */
  #wasAtFirst(row: MemoryRow): boolean {
    return isBefore(row, this.#sinceMs ?? -Infinity) && !this.#lastTold.has(row.id);
  }

  /** It is here already, and a process of this replica may have had no time to tell. */
  #isUntold(row: MemoryRow): boolean {
    if (this.#untold.has(row.id) || !isBefore(row, this.#toldBeforeMs)) return true;
    return this.#wasAtFirst(row) ? this.#isOwed(row) : this.#owed.has(row.id);
  }

  /** What this process sent, or what came after it. */
  #isOwed({ id, hlc }: MemoryRow): boolean {
    const sent = this.#owed.get(id);
    return sent !== undefined && compareHlc(hlc, sent) >= 0;
  }

  get #toldBeforeMs(): number {
    return Math.min(this.#toldAtMs, this.#sinceMs ?? Infinity);
  }

  get #sinceMs(): number | undefined {
    return this.#position.phase === "live" ? undefined : this.#position.sinceMs;
  }

  /** Up to when all is told once this page is: to its own time only where it is the last, and nothing waits behind a transaction. */
  #completeMs({ done, isHeldBack, serverTimeMs }: PullAnswer): number {
    return done && !isHeldBack ? serverTimeMs : Math.min(this.#toldBeforeMs, serverTimeMs);
  }

  #tell(changes: readonly SyncChange[]): void {
    for (const { row } of changes) {
      if (this.#isOwed(row)) this.#owed.delete(row.id);
      this.#untold.delete(row.id);
    }
    const news = this.#lastTold.news(changes);
    if (news.length > 0) this.#parts.onChanges(news);
  }

  async #compareAnew(): Promise<void> {
    this.#comparison = new Comparison();
    await this.#parts.admission.reopen();
    await this.#move({ phase: "comparing", filterKey: this.#parts.filterKey, sinceMs: this.#sinceMs }, []);
  }

  async #goLive(rows: readonly MemoryRow[], cursor: string, atMs: number): Promise<void> {
    await this.#toldUpTo(cursor, atMs);
    await this.#moveWith(rows, { phase: "live", cursor, filterKey: this.#parts.filterKey });
  }

  async #toldUpTo(cursor: string, atMs: number): Promise<void> {
    await this.#parts.store.writeFact("told", encodeTold({ cursor, atMs }));
    this.#toldAtMs = atMs;
  }

  /**
   * What is held with a later clock stays. The server may have lost that since, a tombstone for one, and taken an older write: which of
   * the two it is is asked about.
   */
  async #moveWith(rows: readonly MemoryRow[], position: Position): Promise<void> {
    const { store, doubts } = this.#parts;
    const passedOver = rows.filter((row) => isLater(store.get(row.id), row)).map(({ id }) => id);
    await doubts.after(passedOver, () => this.#move(position, rows));
  }

  /** Position and rows become durable together, or neither does. */
  async #move(position: Position, rows: readonly MemoryRow[]): Promise<void> {
    await this.#parts.store.apply(rows, encodePosition(position));
    this.#position = position;
  }

  /** Which changes of a comparison are about to be made and then told: a restart tells them although they are made. */
  async #remember(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    for (const id of ids) this.#untold.add(id);
    await this.#parts.store.writeFact("untold", JSON.stringify([...this.#untold]));
  }

  async #allTold(): Promise<void> {
    this.#untold.clear();
    if (readIds(this.#parts.store, "untold").length > 0) await this.#parts.store.writeFact("untold", "[]");
  }
}
