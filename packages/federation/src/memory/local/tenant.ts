import { FederationError } from "../../runtime/errors.ts";
import { describe } from "../../runtime/json.ts";
import type { MemoryFilter, MemoryRow } from "../memory-row.ts";
import { compareHlc } from "../sync/hlc.ts";
import { ChangeWriter } from "./changes.ts";
import { checkRow } from "./check-row.ts";
import type {
  AppliedRow,
  DeadLetter,
  LocalWrite,
  OutboxEntry,
  PushResult,
  RowMatch,
  TenantStore,
} from "./local-store.ts";
import { factsOf } from "./row-facts.ts";
import type { RowFacts } from "./row-facts.ts";
import { searchMeaning, searchNewest, searchWords } from "./search.ts";
import { slotState } from "./columns.ts";
import type { TenantState } from "./tenant-state.ts";
import { nextTurn, Slice } from "./turn.ts";

/** What a tenant needs of the store it is in. */
export interface Commits {
  /** Waits until a further write may be accepted; throws where none ever will. */
  room(): Promise<void>;
  commit(tenant: TenantState, writer: ChangeWriter): Promise<void>;
  /** Resolves when everything that readers see now is in the tables. */
  settled(): Promise<void>;
  /** The next `limit` ids, or more, behind `after`, in the order of their UTF-8 bytes; fewer where there are no more. */
  idsAfter(tenant: TenantState, after: string, limit: number): readonly string[];
}

const cursorFact = "cursor";
/** Rows that are decided about in one go, without letting others run. */
const rowsAtOnce = 500;

/** One tenant of a local store: decides what a call changes, and lets the store do it. Every decision is made in one piece. */
export class Tenant implements TenantStore {
  readonly #state: TenantState;
  readonly #commits: Commits;
  /** Resolves when what was asked for last is decided. */
  #lastDecision: Promise<void> = Promise.resolve();

  constructor(state: TenantState, commits: Commits) {
    this.#state = state;
    this.#commits = commits;
  }

  async write(writes: readonly LocalWrite[], { outbox }: { readonly outbox: boolean }): Promise<void> {
    await this.#decide(async (writer) => {
      const slice = new Slice();
      let count = 0;
      for (const { row } of writes) {
        checkRow(row);
        writer.put(row, outbox ? "add" : "keep");
        if (++count % 16 === 0 && slice.isOver) await slice.rest();
      }
      for (const { row, expect } of writes) if (expect !== undefined) this.#expectVersion(row.id, expect);
    }, roughBytes(writes));
  }

  async apply(rows: readonly MemoryRow[], cursor?: string): Promise<readonly AppliedRow[]> {
    const changed: AppliedRow[] = [];
    for (let from = 0; from === 0 || from < rows.length; from += rowsAtOnce) {
      await this.#decide((writer) => {
        const seen = new Map<string, RowFacts>();
        for (const row of rows.slice(from, from + rowsAtOnce)) this.#take(row, { writer, changed, seen });
        if (cursor !== undefined && from + rowsAtOnce >= rows.length) writer.fact(cursorFact, cursor);
      });
    }
    return changed;
  }

  async replace(rows: readonly MemoryRow[]): Promise<void> {
    await this.#decide((writer) => {
      for (const row of rows) if (this.#state.acceptedPlace(row.id) === undefined) writer.put(row, "keep");
    });
  }

  get(id: string): MemoryRow | undefined {
    return this.#state.row(id);
  }

  newest(query: { filter?: MemoryFilter; nowMs: number; limit: number }): Promise<readonly MemoryRow[]> {
    return searchNewest(this.#state, query);
  }

  searchMeaning(query: Parameters<TenantStore["searchMeaning"]>[0]): Promise<readonly RowMatch[]> {
    return searchMeaning(this.#state, query);
  }

  async searchWords(query: Parameters<TenantStore["searchWords"]>[0]): Promise<readonly RowMatch[]> {
    await this.#commits.settled(); // words are indexed with the tables
    return await searchWords(this.#state, query);
  }

  async *rows({ afterId = "" }: { afterId?: string } = {}): AsyncIterable<MemoryRow> {
    const chunk = 200;
    for (let after = afterId; ;) {
      const ids = this.#commits.idsAfter(this.#state, after, chunk);
      const rows = ids.map((id) => this.#state.row(id));
      for (const row of rows) if (row !== undefined) yield row;
      const last = ids.at(-1);
      if (last === undefined || ids.length < chunk) return;
      after = last;
      await nextTurn();
    }
  }

  counts(nowMs: number): { readonly living: number; readonly pending: number; readonly dead: number } {
    const { state, end, used } = this.#state.index.columns;
    const nowMicros = nowMs * 1000;
    let living = 0;
    for (let slot = 0; slot < used; slot++)
      if (state[slot] === slotState.living && (end[slot] ?? 0) > nowMicros) living += 1;
    return { living, pending: this.#state.entries.size, dead: this.#state.letters.size };
  }

  isPending(id: string): boolean {
    return this.#state.acceptedPlace(id) !== undefined;
  }

  outbox({ maxRows, maxBytes }: { maxRows: number; maxBytes: number }): readonly OutboxEntry[] {
    const entries: OutboxEntry[] = [];
    let sizeBytes = 0;
    for (const [place, id] of this.#state.entryIds) {
      if (entries.length > 0 && entries.length >= maxRows) break;
      const row = this.#state.row(id);
      if (row === undefined) continue;
      sizeBytes += roughBytes([{ row }]) + JSON.stringify(row.metadata).length;
      if (entries.length > 0 && sizeBytes > maxBytes) break;
      entries.push({ row, place });
    }
    return entries;
  }

  async settle(results: readonly PushResult[]): Promise<readonly AppliedRow[]> {
    const changed: AppliedRow[] = [];
    for (let from = 0; from < results.length; from += rowsAtOnce) {
      await this.#decide((writer) => {
        for (const result of results.slice(from, from + rowsAtOnce)) this.#settleOne(result, writer, changed);
      });
    }
    return changed;
  }

  deadLetters(): readonly DeadLetter[] {
    return [...this.#state.letters.values()].sort((a, b) => a.place - b.place);
  }

  async retryDeadLetter(place: number): Promise<boolean> {
    let isThere = false;
    await this.#decide((writer) => {
      const letter = this.#state.acceptedLetter(place);
      if (letter === undefined) return;
      isThere = true;
      writer.release(place);
      const held = this.#state.acceptedFacts(letter.row.id);
      // What was written since takes its place, and has an entry of its own.
      if (held === undefined || compareHlc(held.hlc, letter.row.hlc) <= 0) writer.put(letter.row, "add");
    });
    return isThere;
  }

  async dropDeadLetter(place: number): Promise<boolean> {
    let isThere = false;
    await this.#decide((writer) => {
      isThere = this.#state.acceptedLetter(place) !== undefined;
      if (isThere) writer.release(place);
    });
    return isThere;
  }

  readFact(name: string): string | undefined {
    return this.#state.facts.get(name);
  }

  async writeFact(name: string, value: string): Promise<void> {
    await this.#decide((writer) => writer.fact(name, value));
  }

  async cleanup(limits: { nowMs: number; tombstonesBeforeMs: number }): Promise<number> {
    const { columns } = this.#state.index;
    const isOver = (slot: number): boolean => {
      const end = columns.end[slot] ?? Infinity;
      if (columns.state[slot] === slotState.deleted) return end < limits.tombstonesBeforeMs * 1000;
      return columns.state[slot] !== slotState.free && end <= limits.nowMs * 1000;
    };
    let memories = 0;
    for (let slot = 0; slot < columns.used;) {
      await this.#decide((writer) => {
        const slice = new Slice();
        for (; slot < columns.used && writer.count < rowsAtOnce && !slice.isOver; slot++) {
          const row = isOver(slot) ? this.#state.rowAt(slot) : undefined;
          if (row === undefined || !this.#remove(row.id, writer)) continue;
          if (row.deleted_at === null) memories += 1;
        }
      });
      await nextTurn();
    }
    return memories;
  }

  async forget(ids: readonly string[]): Promise<void> {
    for (let from = 0; from < ids.length; from += rowsAtOnce) {
      await this.#decide((writer) => {
        for (const id of new Set(ids.slice(from, from + rowsAtOnce))) this.#remove(id, writer);
      });
    }
  }

  /**
   * Lets `decide` collect changes, and commits them. One decision at a time, in the order in which they were asked for, also behind one that
   * takes many turns of the event loop; none waits for what was decided before to become durable.
   */
  async #decide(
    decide: (writer: ChangeWriter) => void | Promise<void>,
    capacityBytes: number = 4_096,
  ): Promise<void> {
    const before = this.#lastDecision;
    let end = (): void => {};
    this.#lastDecision = new Promise((resolve) => (end = resolve));
    let committed: Promise<void>;
    try {
      await before;
      await this.#commits.room();
      const writer = new ChangeWriter(this.#state.name, capacityBytes);
      await decide(writer);
      committed = this.#commits.commit(this.#state, writer);
    } finally {
      end();
    }
    await committed;
  }

  #expectVersion(id: string, expected: number): void {
    const held = this.#state.acceptedFacts(id);
    // A deleted row is none, and has a version all the same.
    if (held?.state === "deleted" && expected === 0) return;
    const version = held?.version ?? 0;
    if (version === expected) return;
    throw new FederationError(
      "conflict",
      `write memory ${describe(id)}: expected version ${expected}, found version ${version}`,
      { remedy: "Read it again and decide anew" },
    );
  }

  #settleOne(result: PushResult, writer: ChangeWriter, changed: AppliedRow[]): void {
    const { place } = result;
    const id = this.#state.entryIds.get(place);
    if (id === undefined || this.#state.acceptedPlace(id) !== place) return; // written again since
    if (result.outcome !== "refused") {
      const held = this.#state.acceptedFacts(id);
      writer.put(result.row, "drop"); // whatever its clock: the server may have put its own on it
      noteChange(changed, held, result.row);
      return;
    }
    const row = this.#state.row(id);
    const { reason, code } = result;
    if (row !== undefined) writer.refuse({ row, place, reason, code, refused_at: new Date().toISOString() });
  }

  /** Takes a row of the server unless what is held is newer. */
  #take(
    row: MemoryRow,
    { writer, changed, seen }: { writer: ChangeWriter; changed: AppliedRow[]; seen: Map<string, RowFacts> },
  ): void {
    const held = seen.get(row.id) ?? this.#state.acceptedFacts(row.id);
    if (held !== undefined && compareHlc(held.hlc, row.hlc) > 0) return;
    writer.put(row, this.#state.acceptedPlace(row.id) === undefined ? "keep" : "drop");
    seen.set(row.id, factsOf(row));
    noteChange(changed, held, row);
  }

  /** Removes a row for good unless its last write has yet to reach the server. */
  #remove(id: string, writer: ChangeWriter): boolean {
    if (this.#state.acceptedPlace(id) !== undefined || this.#state.acceptedFacts(id) === undefined)
      return false;
    writer.remove(id);
    return true;
  }
}

/** The same write again, or the removal of what was not there, is no change. */
function noteChange(changed: AppliedRow[], held: RowFacts | undefined, row: MemoryRow): void {
  const wasThere = held !== undefined && held.state !== "deleted";
  if (row.deleted_at !== null) {
    if (wasThere) changed.push({ change: "deleted", row });
  } else if (!wasThere) changed.push({ change: "added", row });
  else if (compareHlc(held.hlc, row.hlc) !== 0) changed.push({ change: "updated", row });
}

/** Of a row's content and vector; enough for most to be written without growing. */
function roughBytes(rows: readonly { readonly row: MemoryRow }[]): number {
  let sizeBytes = 64;
  for (const { row } of rows) sizeBytes += 640 + row.content.length + (row.embedding?.length ?? 0) * 4;
  return sizeBytes;
}
