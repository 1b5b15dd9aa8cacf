import type { Database } from "../../database/database.ts";
import type { RealtimeClock, RealtimeParts } from "../realtime.ts";
import type { RowEvent } from "./binding.ts";
import { readCells, type CapturedRow } from "./captured-row.ts";

export interface FeedParts {
  readonly database: Database;
  readonly clock: RealtimeClock;
  readonly log: RealtimeParts["log"];
  /** Whether anybody here would receive anything. */
  readonly isWanted: () => boolean;
  readonly deliver: (rows: readonly CapturedRow[]) => Promise<void>;
}

const CHANNEL = "supabase_realtime_rows";
const batchRows = 100;
const batchTransactions = 50;
const sweepEveryMs = 10_000;
const retryMs = 500;
/** Other servers on the same database may read the same rows, so they stay for a while. */
const keptSeconds = 120;

interface Notice {
  readonly xid: string;
  readonly committedAtMs: number;
}

/**
 * Reads committed transactions in the order in which they were notified, which is the order of their commits, some
 * hundred rows at a time. What was committed while nobody could be notified (the connection that listens dropped, the
 * database was opened again) is found by looking, every ten seconds.
 */
export class ChangesFeed {
  readonly #parts: FeedParts;
  readonly #queue: Notice[] = [];
  readonly #seen = new Map<string, number>();
  #reading: Promise<void> | undefined;
  #isClosed = false;
  #stopListening: () => Promise<void> = async () => {};
  #cancelSweep: () => void = () => {};
  #readSinceEmptied = 0;
  #startedAt = "";

  private constructor(parts: FeedParts) {
    this.#parts = parts;
  }

  /** Resolves when it listens. */
  static async start(parts: FeedParts): Promise<ChangesFeed> {
    const feed = new ChangesFeed(parts);
    // Of an earlier process; nobody waits for them any more.
    if (parts.database.kind === "embedded")
      await parts.database.exec("truncate realtime.row_changes; delete from realtime.row_listeners;");
    feed.#startedAt = (await parts.database.query("select clock_timestamp()::text")).rows[0]?.[0] ?? "";
    feed.#stopListening = await parts.database.listen(CHANNEL, (xid) => feed.#take(xid));
    feed.#scheduleSweep();
    return feed;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelSweep();
    await this.#reading;
    await this.#stopListening();
  }

  #take(xid: string): void {
    if (this.#isClosed || this.#seen.has(xid) || !/^\d{1,19}$/.test(xid)) return;
    const committedAtMs = this.#parts.clock.now();
    this.#seen.set(xid, committedAtMs);
    this.#queue.push({ xid, committedAtMs });
    this.#reading ??= this.#drain();
  }

  /** Never rejects. A database that does not answer is asked again: nothing that was notified is skipped. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0 && !this.#isClosed) {
      const notices = this.#queue.slice(0, batchTransactions);
      const isDone = await this.#read(notices).then(
        () => true,
        (error: unknown) => {
          this.#parts.log("error", "realtime: row changes could not be read", { reason: String(error) });
          return false;
        },
      );
      if (isDone) this.#queue.splice(0, notices.length);
      else if (!this.#isClosed) await this.#pause();
    }
    this.#reading = undefined;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void setTimeout(resolve, retryMs));
  }

  #cursor: readonly [string, string] = ["0", "0"];

  async #read(notices: readonly Notice[]): Promise<void> {
    const { database, deliver, isWanted } = this.#parts;
    const xids = `{${notices.map(({ xid }) => xid).join(",")}}`;
    const found = new Set<string>();
    while (!this.#isClosed) {
      // What nobody wants now is read all the same: it has been seen, and is not for whoever wants the next.
      const isHeard = isWanted();
      const { rows } = await database.query(readSql, [xids, ...this.#cursor]);
      if (rows.length > 0) {
        if (isHeard) await deliver(rows.map((row) => captured(row, notices)));
        for (const [, , xid] of rows) if (xid != null) found.add(xid);
        const last = rows.at(-1);
        this.#cursor = [last?.[0] ?? "0", last?.[1] ?? "0"];
        this.#readSinceEmptied += rows.length;
      }
      if (rows.length < batchRows) break;
    }
    if (this.#isClosed) return;
    // Anybody may NOTIFY, also of a transaction that has yet to commit: what had no rows is not what was meant.
    for (const { xid } of notices) if (!found.has(xid)) this.#seen.delete(xid);
    if (database.kind === "embedded" && found.size > 0) await this.#forget(xids);
    this.#cursor = ["0", "0"];
  }

  /** Nothing vacuums the embedded database, so a table that was used much is emptied as a whole once it may be. */
  async #forget(xids: string): Promise<void> {
    const { database } = this.#parts;
    await database.query(
      `delete from realtime.row_changes where xid = any($1::text[]::xid8[])
       and (select count(distinct l.stack) from realtime.row_listeners l where l.expires_at > clock_timestamp()) < 2`,
      [xids],
    );
    if (this.#readSinceEmptied < 10_000) return;
    await database.exec(
      "do $$ begin if not exists (select from realtime.row_changes) then truncate realtime.row_changes; end if; end $$",
    );
    this.#readSinceEmptied = 0;
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#parts.clock.after(sweepEveryMs, () => {
      void this.#sweep().catch((error: unknown) => {
        this.#parts.log("error", "realtime: looking for missed row changes failed", {
          reason: String(error),
        });
      });
      if (!this.#isClosed) this.#scheduleSweep();
    });
  }

  async #sweep(): Promise<void> {
    const { database, clock } = this.#parts;
    const longAgo = clock.now() - 2 * keptSeconds * 1000;
    for (const [xid, at] of this.#seen) if (at < longAgo) this.#seen.delete(xid);
    await database.query(
      "delete from realtime.row_changes where captured_at < now() - make_interval(secs => $1::int)",
      [String(keptSeconds)],
    );
    const { rows } = await database.query(
      `select xid::text from realtime.row_changes
       where captured_at < now() - interval '2 seconds' and captured_at > $1::timestamptz group by xid order by min(seq)`,
      [this.#startedAt],
    );
    for (const [xid] of rows) if (xid != null) this.#take(xid);
  }
}

const readSql = `
  select u.n::text, c.seq::text, c.xid::text, c.relation::text, c.schema_name, c.table_name, c.action, c.new_row::text, c.old_row::text
  from unnest($1::text[]::xid8[]) with ordinality u(xid, n) join realtime.row_changes c on c.xid = u.xid
  where (u.n, c.seq) > ($2::bigint, $3::bigint)
  order by u.n, c.seq limit ${batchRows}`;

function captured(row: readonly (string | null)[], notices: readonly Notice[]): CapturedRow {
  const [n, , , relation, schema, table, action, newRow, oldRow] = row;
  return {
    relation: relation ?? "",
    schema: schema ?? "",
    table: table ?? "",
    event: action as RowEvent, // what the trigger is called for
    newCells: readCells(newRow),
    oldCells: readCells(oldRow),
    newBytes: Buffer.byteLength(newRow ?? ""),
    committedAtMs: notices[Number(n) - 1]?.committedAtMs ?? 0,
  };
}
