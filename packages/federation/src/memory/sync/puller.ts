import { FederationError, isFederationError } from "../../runtime/errors.ts";
import type { TenantStore } from "../local/local-store.ts";
import type { MemoryRow } from "../memory-row.ts";
import type { Admission } from "./admission.ts";
import { afterTaken, afterTooMuch, firstBatchSize, type BatchLimits, type BatchSize } from "./batch-size.ts";
import { changesOf } from "./changes.ts";
import { Comparison } from "./comparison.ts";
import type { Doubts } from "./doubts.ts";
import { readIds } from "./facts.ts";
import { compareHlc } from "./hlc.ts";
import { decodeTold, encodePosition, encodeTold, startingPosition, type Position } from "./position.ts";
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

export interface PullSummary {
  readonly pulled: number;
  /** Something has been committed that cannot be read yet (PullAnswer). */
  readonly isHeldBack: boolean;
}

/** A later write, or the same one with a mark that the server made, or lost: a restored backup is from before the mark. */
function isNewsBeside(row: MemoryRow, held: MemoryRow): boolean {
  const order = compareHlc(row.hlc, held.hlc);
  return order > 0 || (order === 0 && row.version !== held.version);
}

/** Brings what the server has to the store, in the order of the server, and remembers where it stands. */
export class Puller {
  readonly #parts: PullerParts;
  readonly #readAgain: ReadAgain;
  #size: BatchSize = firstBatchSize(pages);
  #position: Position;
  #comparison: Comparison | undefined;
  #untold: ReadonlySet<string>;
  /** When the server gave the last page that was told to its end, by its own time. */
  #toldAtMs: number;
  /** What this process sent to the server and has not heard of again: to be told, although it is here already. */
  readonly #owed = new Set<string>();

  constructor(parts: PullerParts) {
    const { store, filterKey } = parts;
    this.#parts = parts;
    this.#readAgain = new ReadAgain({ ...parts, tell: (changes) => this.#tell(changes) });
    const told = decodeTold(store.readFact("told"));
    this.#position = startingPosition(store.readFact("cursor"), told?.cursor, filterKey);
    this.#toldAtMs = told?.atMs ?? Infinity;
    this.#untold = new Set(readIds(store, "untold"));
  }

  get position(): Position {
    return this.#position;
  }

  /** The server may have these from us. */
  sending(ids: readonly string[]): void {
    for (const id of ids) this.#owed.add(id);
  }

  /** Until the server has nothing more to read. */
  async round(signal: AbortSignal): Promise<PullSummary> {
    const { time, admission } = this.#parts;
    let pulled = 0;
    await this.#resolveDoubts(signal); // first, since it may bring back what a process let go to replace it
    await this.#readAgain.tellGone();
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
      if (answer.done) return { pulled, isHeldBack: answer.isHeldBack };
    }
  }

  async #ask(signal: AbortSignal): Promise<PullAnswer> {
    const { server, ask, clock, time } = this.#parts;
    if (this.#position.phase === "comparing" && this.#comparison === undefined) await this.#compareAnew();
    const cursor = this.#position.phase === "comparing" ? this.#comparison?.cursor : this.#position.cursor;
    const askedMs = clock.now();
    const size = this.#size;
    const asked = ask("pull", (inner) => server.pull(cursor, size, inner), signal);
    const answer = await asked.catch((error: unknown) => {
      const isTooMuch = isFederationError(error, "timeout") || isFederationError(error, "too_large");
      if (isTooMuch) this.#size = afterTooMuch(size, size.maxRows);
      throw error;
    });
    const answeredMs = clock.now();
    const taken = { isFull: !answer.done, tookMs: answeredMs - askedMs };
    this.#size = afterTaken(size, taken, pages);
    await time.learn({ serverTimeMs: answer.serverTimeMs, askedMs, answeredMs });
    const isStuck = answer.rows.length === 0 && !answer.done && answer.cursor === cursor;
    if (isStuck || (answer.isReset && cursor === undefined)) {
      const found = isStuck ? "an empty page that is not the last" : "a reset at the start";
      throw new FederationError("protocol", `pull: expected rows, got ${found}`);
    }
    return answer;
  }

  async #take(answer: PullAnswer, signal: AbortSignal): Promise<void> {
    switch (this.#position.phase) {
      case "loading":
        return await this.#load(answer);
      case "comparing":
        return await this.#compare(answer, signal);
      case "live":
        return await this.#follow(answer);
    }
  }

  async #load({ rows, cursor, done, serverTimeMs }: PullAnswer): Promise<void> {
    const { store, admission } = this.#parts;
    const taken = rows.map(({ row }) => row).filter((row) => admission.takes(row));
    const owed = taken.filter(({ id }) => this.#owed.has(id));
    const changes = owed.flatMap((row) => changesOf(row, store.get(row.id)));
    if (done) await this.#goLive(taken, cursor, serverTimeMs);
    else await this.#move({ ...this.#position, phase: "loading", cursor }, taken);
    this.#tell(changes);
  }

  async #follow(answer: PullAnswer): Promise<void> {
    const { rows, cursor } = answer;
    const { store, admission } = this.#parts;
    if (rows.length === 0 && this.#position.phase === "live" && this.#position.cursor === cursor) return;
    const taken = rows.map(({ row }) => row).filter((row) => admission.takes(row));
    const changes = taken.flatMap((row) => changesOf(row, store.get(row.id)));
    await this.#move({ ...this.#position, phase: "live", cursor }, taken);
    // Readable by now. Should the process end before all are told, the next one begins where telling ended.
    this.#tell(changes);
    await this.#toldUpTo(cursor, this.#toldTo(answer));
  }

  async #compare({ rows, cursor, done, serverTimeMs }: PullAnswer, signal: AbortSignal): Promise<void> {
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
        const isNews = held === undefined || isNewsBeside(row, held);
        const isOwed = this.#owed.has(row.id) || Date.parse(row.updated_at) >= this.#toldAtMs;
        if (isNews || isOwed || this.#untold.has(row.id)) changes.push(...changesOf(row, held));
      }
    }
    await this.#remember(changes);
    await store.apply(taken);
    if (unwanted.length > 0) await store.forget(unwanted); // not what is to be pushed
    this.#tell(changes);
    comparison.cursor = cursor;
    if (!done) return;
    await this.#sweep(comparison, signal);
    await this.#goLive([], cursor, serverTimeMs);
    await this.#allTold();
    this.#comparison = undefined;
  }

  /** What the server did not mention, and what is newer here, is asked about by id: slices, so that others get their turn. */
  async #sweep(comparison: Comparison, signal: AbortSignal): Promise<void> {
    const beforeReplacing = (changes: readonly SyncChange[]): Promise<void> => this.#remember(changes);
    const options = { beforeReplacing, signal };
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
    // What is found was told when it was pulled, or will be.
    await this.#readAgain.readAgain([...doubted.keys()], { signal });
    await doubts.resolved(doubted);
  }

  #tell(changes: readonly SyncChange[]): void {
    for (const { row } of changes) this.#owed.delete(row.id);
    if (changes.length > 0) this.#parts.onChanges(changes);
  }

  async #compareAnew(): Promise<void> {
    this.#comparison = new Comparison();
    await this.#parts.admission.reopen();
    await this.#move({ phase: "comparing", filterKey: this.#parts.filterKey }, []);
  }

  async #goLive(rows: readonly MemoryRow[], cursor: string, atMs: number): Promise<void> {
    await this.#toldUpTo(cursor, atMs);
    await this.#move({ phase: "live", cursor, filterKey: this.#parts.filterKey }, rows);
  }

  /** With rows still to come, or held back, which may be older than the answer, the time stays where it was. */
  #toldTo({ serverTimeMs, done, isHeldBack }: PullAnswer): number {
    return done && !isHeldBack ? serverTimeMs : Math.min(this.#toldAtMs, serverTimeMs);
  }

  async #toldUpTo(cursor: string, atMs: number): Promise<void> {
    await this.#parts.store.writeFact("told", encodeTold({ cursor, atMs }));
    this.#toldAtMs = atMs;
  }

  /** Position and rows become durable together, or neither does. */
  async #move(position: Position, rows: readonly MemoryRow[]): Promise<void> {
    await this.#parts.store.apply(rows, encodePosition(position));
    this.#position = position;
  }

  /** Which changes of a comparison are about to be made and then told: a restart tells them although they are made. */
  async #remember(changes: readonly SyncChange[]): Promise<void> {
    if (changes.length === 0) return;
    const ids = new Set([...this.#untold, ...changes.map(({ row }) => row.id)]);
    await this.#parts.store.writeFact("untold", JSON.stringify([...ids]));
  }

  async #allTold(): Promise<void> {
    this.#untold = new Set();
    if (readIds(this.#parts.store, "untold").length > 0) await this.#parts.store.writeFact("untold", "[]");
  }
}
