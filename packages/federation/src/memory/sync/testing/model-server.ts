import { FederationError } from "../../../runtime/errors.ts";
import type { Hlc, MemoryRow } from "../../memory-row.ts";
import { compareHlc, receive } from "../hlc.ts";
import type { PullAnswer, PushAnswer, ServerRow } from "../sync-server.ts";
import { isAhead } from "../write-clock.ts";

interface Placed {
  readonly row: MemoryRow;
  readonly tx: number;
  readonly seq: number;
  readonly committedMs: number;
}

/** A transaction that has begun: the server sees it, readers do not see what it writes until it commits. */
export interface OpenPush {
  commit(): readonly PushAnswer[];
  rollBack(): void;
}

const keptMs = 60_000;

/** Content that this server always refuses. */
export const unacceptable = "unacceptable";

/** The server of the simulation: what docs/schema.md says of push_memories and pull_memories, for one tenant, in memory. */
export class ModelServer {
  readonly #now: () => number;
  #rows = new Map<string, Placed>();
  readonly #open = new Set<number>();
  #backup: ReadonlyMap<string, Placed> = new Map();
  #epoch = 1;
  #nextTx = 1;
  #nextSeq = 1;
  #purgedTo = { tx: 0, seq: 0 };
  /** More rows than this in a batch are too large. */
  maxRows = Infinity;
  /** Every version of every memory that was committed, also of databases before this one. */
  readonly versions = new Set<string>();

  constructor(now: () => number) {
    this.#now = now;
  }

  get(id: string): MemoryRow | undefined {
    return this.#rows.get(id)?.row;
  }

  committedMs(id: string): number | undefined {
    return this.#rows.get(id)?.committedMs;
  }

  all(): MemoryRow[] {
    return [...this.#rows.values()].map(({ row }) => row);
  }

  /** What `agent` may read, living and dead. */
  readable(agent: string): MemoryRow[] {
    return [...this.#rows.values()].map(({ row }) => row).filter((row) => mayRead(agent, row));
  }

  begin(agent: string, rows: readonly MemoryRow[]): OpenPush {
    if (rows.length > this.maxRows) throw new FederationError("too_large", "push: too many rows (413)");
    const tx = this.beginTransaction();
    return {
      commit: () => {
        this.endTransaction(tx);
        return rows.map((row) => this.#write(agent, row, tx));
      },
      rollBack: () => this.endTransaction(tx),
    };
  }

  /** As store_memory does it, with the server's own clock. */
  beginStore(agent: string, row: MemoryRow): OpenPush {
    const tx = this.beginTransaction();
    return {
      commit: () => {
        this.endTransaction(tx);
        const now = { ms: this.#now(), counter: 0, writer: agent };
        const held = this.#rows.get(row.id)?.row;
        const hlc = held === undefined ? now : receive(now.ms, { ...now, ms: now.ms - 1 }, held.hlc);
        return [this.#write(agent, { ...row, hlc }, tx)];
      },
      rollBack: () => this.endTransaction(tx),
    };
  }

  beginTransaction(): number {
    const tx = this.#nextTx++;
    this.#open.add(tx);
    return tx;
  }

  endTransaction(tx: number): void {
    this.#open.delete(tx);
  }

  /** Cursors as pull_memories makes them: during a first reading with the transaction that was the next one when it began. */
  pull(agent: string, cursor: string | undefined, maxRows: number, writer?: string): PullAnswer {
    const horizon = Math.min(this.#nextTx, ...this.#open);
    const from: Cursor =
      cursor === undefined ? { epoch: this.#epoch, tx: 0, seq: 0, since: horizon } : parseCursor(cursor);
    const serverTimeMs = this.#now();
    const { since = 0 } = from;
    const readSince = from.tx >= since ? from : { tx: since, seq: 0 };
    if (from.epoch !== this.#epoch || isAfter(this.#purgedTo, readSince)) {
      const anew = `${this.#epoch}:0:0:${horizon}`;
      return { rows: [], cursor: anew, done: false, isHeldBack: false, isReset: true, serverTimeMs };
    }
    const behind = [...this.#rows.values()].filter((placed) => isAfter(placed, from));
    const visible = behind
      .filter((placed) => placed.tx < horizon)
      .toSorted((a, b) => a.tx - b.tx || a.seq - b.seq);
    const page = visible.slice(0, maxRows);
    const done = page.length === visible.length;
    const last = page.at(-1) ?? from;
    const next = done && horizon > last.tx ? { tx: horizon, seq: 0 } : last;
    const rows = page.map(({ row, seq }): ServerRow => {
      if (!mayRead(agent, row)) return { row: withdrawn(row), seq };
      const isBrief = row.hlc.writer === writer && row.deleted_at === null;
      return isBrief ? { row: brief(row), seq, isBrief } : { row, seq };
    });
    return {
      rows,
      cursor: [this.#epoch, next.tx, next.seq, ...(done || from.since === undefined ? [] : [since])].join(
        ":",
      ),
      done,
      isHeldBack: done && behind.length > visible.length,
      isReset: false,
      serverTimeMs,
    };
  }

  read(agent: string, ids: readonly string[]): ServerRow[] {
    return ids.flatMap((id) => {
      const placed = this.#rows.get(id);
      return placed === undefined || !mayRead(agent, placed.row)
        ? []
        : [{ row: placed.row, seq: placed.seq }];
    });
  }

  /** A mark of the server's own: nobody's write, so the clock stays. */
  mark(id: string): void {
    const placed = this.#rows.get(id);
    if (placed === undefined || placed.row.deleted_at !== null) return;
    const updated_at = new Date(this.#now()).toISOString();
    const row = { ...placed.row, version: placed.row.version + 1, superseded_by: "a later one", updated_at };
    this.#rows.set(id, { ...placed, row, tx: this.#nextTx++, seq: this.#nextSeq++ });
    this.versions.add(versionOf(row));
  }

  /** Tombstones go for good, once nothing that was sent before them can be under way. Answers their ids and clocks. */
  purge(): MemoryRow[] {
    const gone: MemoryRow[] = [];
    for (const [id, placed] of this.#rows) {
      if (placed.row.deleted_at === null || placed.committedMs > this.#now() - keptMs) continue;
      this.#rows.delete(id);
      gone.push(placed.row);
      if (isAfter(placed, this.#purgedTo)) this.#purgedTo = { tx: placed.tx, seq: placed.seq };
    }
    return gone;
  }

  backUp(): void {
    this.#backup = new Map(this.#rows);
  }

  /** Another database under the same name: with the rows of now, or with those of the last backup. */
  newEpoch({ restores }: { readonly restores: boolean }): void {
    if (restores) this.#rows = new Map(this.#backup);
    this.#backup = new Map(this.#rows);
    this.#epoch += 1;
    this.#open.clear();
    this.#purgedTo = { tx: 0, seq: 0 };
  }

  #write(agent: string, row: MemoryRow, tx: number): PushAnswer {
    const held = this.#rows.get(row.id)?.row;
    if (row.agent_id !== agent || (held !== undefined && held.agent_id !== agent))
      return { outcome: "refused", reason: `memory ${row.id} belongs to another agent`, code: "42501" };
    if (row.content === unacceptable)
      return { outcome: "refused", reason: `memory ${row.id}: not this`, code: "22023" };
    const clockMoved = isAhead(row.hlc, this.#now());
    const hlc = clockMoved ? this.#ownTime(row.hlc, held) : row.hlc;
    const order = held === undefined ? 1 : compareHlc(hlc, held.hlc);
    if (held !== undefined && order < 0) return { outcome: "older", row: held };
    if (held !== undefined && order === 0) return { outcome: "applied", row: held, clockMoved: false };
    const at = new Date(this.#now()).toISOString();
    const stored = { ...row, hlc, version: (held?.version ?? 0) + 1, updated_at: at };
    this.#rows.set(row.id, { row: stored, tx, seq: this.#nextSeq++, committedMs: this.#now() });
    this.versions.add(versionOf(stored));
    return { outcome: "applied", row: stored, clockMoved };
  }

  #ownTime({ writer }: Hlc, held: MemoryRow | undefined): Hlc {
    const now = { ms: this.#now(), counter: 0, writer };
    return held === undefined ? now : receive(this.#now(), { ...now, ms: now.ms - 1 }, held.hlc);
  }
}

/** A memory as the server had it at some time. */
export function versionOf({ id, hlc, version }: MemoryRow): string {
  return JSON.stringify([id, hlc, version]);
}

function mayRead(agent: string, row: MemoryRow): boolean {
  return row.scope !== "agent" || row.agent_id === agent;
}

/** Another agent's private row, for those who may have had it when it was not. */
function withdrawn(row: MemoryRow): MemoryRow {
  return { ...row, content: "", metadata: {}, deleted_at: row.updated_at };
}

function brief(row: MemoryRow): MemoryRow {
  return { ...row, content: "", embedding: null, metadata: {}, source: null };
}

function isAfter(a: { tx: number; seq: number }, b: { tx: number; seq: number }): boolean {
  return a.tx > b.tx || (a.tx === b.tx && a.seq > b.seq);
}

interface Cursor {
  readonly epoch: number;
  readonly tx: number;
  readonly seq: number;
  /** During a first reading. */
  readonly since?: number;
}

function parseCursor(cursor: string): Cursor {
  const [epoch = 0, tx = 0, seq = 0, since] = cursor.split(":").map(Number);
  return { epoch, tx, seq, ...(since === undefined ? {} : { since }) };
}
