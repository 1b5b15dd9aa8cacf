import { protocol, type PGlite } from "@electric-sql/pglite";
import { CrashDetector } from "./crash-detector.ts";
import { closedError, crashedBefore, swallowedFailure } from "./database-errors.ts";
import {
  DatabaseError,
  type Database,
  type QueryResult,
  type Session,
  type SqlText,
  type Statement,
} from "./database.ts";
import { PreparedStatements } from "./prepared-statements.ts";
import { quoteIdentifier } from "./quote.ts";
import { SerialQueue } from "./serial-queue.ts";

const { serialize, messages } = protocol;
type BackendMessage = Awaited<ReturnType<PGlite["execProtocolStream"]>>[number];

export interface PgliteEvents {
  /** Postgres is about to be entered, or has returned; it cannot be interrupted in between. */
  readonly onStep?: (() => void) | undefined;
  /** Postgres is broken, every statement is refused from now on. The folder is as after a kill. */
  readonly onCrash?: (() => void) | undefined;
}

/**
 * PGlite behind the Database interface. It speaks the wire protocol itself instead of `PGlite.query`, which would
 * interpret values by their type. One connection: whatever comes while a transaction runs waits for its end.
 */
export class PgliteDatabase implements Database {
  readonly kind = "embedded";
  readonly #pg: PGlite;
  readonly #events: PgliteEvents;
  readonly #detector: CrashDetector;
  readonly #queue = new SerialQueue();
  readonly #listeners = new Map<string, Set<(payload: string) => void>>();
  readonly #session: Session;
  readonly #prepared = new PreparedStatements();
  #closing: Promise<void> | undefined;
  /** A transaction begins with its first statement: entering Postgres costs more than `begin` does. */
  #isBeginning = false;

  constructor(pg: PGlite, events: PgliteEvents = {}) {
    this.#pg = pg;
    this.#events = events;
    this.#detector = new CrashDetector(pg);
    this.#session = { query: (sql, params) => this.#extended(sql, params ?? []) };
    pg.onNotification((channel, payload) => {
      for (const onPayload of this.#listeners.get(channel) ?? []) onPayload(payload);
    });
  }

  query(sql: string, params: readonly SqlText[] = []): Promise<QueryResult> {
    return this.#run(async () => {
      try {
        return await this.#extended(sql, params);
      } finally {
        await this.#endTransaction();
      }
    });
  }

  exec(sql: string): Promise<void> {
    return this.#run(async () => {
      try {
        await this.#simple(sql);
      } finally {
        await this.#endTransaction();
      }
    });
  }

  transaction<T>(run: (session: Session) => Promise<T>): Promise<T> {
    return this.#run(async () => {
      this.#isBeginning = true;
      try {
        const result = await run(this.#session);
        if (this.#isBeginning) return result;
        // COMMIT of a transaction in which a statement failed is a rollback that reports no error.
        if ((await this.#simple("commit")) === "ROLLBACK") throw swallowedFailure();
        return result;
      } finally {
        this.#isBeginning = false;
        await this.#endTransaction();
      }
    });
  }

  /** The transaction's begin and end go with the statements: entering Postgres costs as much as a small one of them. */
  batch(statements: readonly Statement[]): Promise<readonly QueryResult[]> {
    return this.#run(async () => {
      this.#isBeginning = true;
      try {
        const results = await this.#pipeline([...statements, commit]);
        return results.slice(0, -1);
      } finally {
        this.#isBeginning = false;
        await this.#endTransaction();
      }
    });
  }

  async listen(channel: string, onPayload: (payload: string) => void): Promise<() => Promise<void>> {
    await this.#run(async () => {
      await this.#simple(`listen ${quoteIdentifier(channel)}`);
      const listeners = this.#listeners.get(channel) ?? new Set();
      this.#listeners.set(channel, listeners.add(onPayload));
    });
    return async () => {
      const listeners = this.#listeners.get(channel);
      if (listeners?.delete(onPayload) !== true || listeners.size > 0) return;
      this.#listeners.delete(channel);
      if (this.#closing === undefined) await this.exec(`unlisten ${quoteIdentifier(channel)}`);
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#queue.run(async () => {
      if (this.#detector.crash === undefined) await this.#pg.close();
    });
    return this.#closing;
  }

  /** Nothing that was begun here may hold what the next caller writes. */
  async #endTransaction(): Promise<void> {
    if (this.#detector.crash === undefined && this.#pg.isInTransaction()) await this.#simple("rollback");
  }

  #run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    return this.#queue.run(task);
  }

  async #extended(text: string, params: readonly SqlText[]): Promise<QueryResult> {
    const [result] = await this.#pipeline([{ text, params }]);
    return result ?? nothing;
  }

  /**
   * One round: for each statement parse unless it is kept, bind, describe, execute; then sync. All values as text, parameter types left
   * to Postgres, which passes over those behind one that failed.
   */
  async #pipeline(statements: readonly Statement[]): Promise<readonly QueryResult[]> {
    const asked = statements.map((statement) => ({ statement, kept: this.#prepared.take(statement.text) }));
    const closing = this.#prepared.takeStale().map((name) => serialize.close({ type: "S", name }));
    const running = asked.flatMap(({ statement: { text, params }, kept }) => [
      ...(kept?.isNew === false ? [] : [serialize.parse({ name: kept?.name ?? "", text })]),
      serialize.bind({ statement: kept?.name ?? "", values: [...params] }),
      serialize.describe({ type: "P" }),
      serialize.execute({}),
    ]);
    try {
      return resultsOf(await this.#send(...closing, ...running, serialize.sync())).slice(-statements.length);
    } catch (error) {
      for (const { statement, kept } of asked)
        if (kept?.isNew === true) this.#prepared.forget(statement.text);
      if (error instanceof DatabaseError && error.code === statementGone) this.#prepared.forgetAll();
      throw error;
    }
  }

  /** The tag of the last command. */
  async #simple(sql: string): Promise<string> {
    let tag = "";
    for (const message of await this.#send(serialize.query(sql))) {
      if (message instanceof messages.CommandCompleteMessage) tag = message.text;
    }
    return tag;
  }

  async #send(...parts: Uint8Array[]): Promise<BackendMessage[]> {
    if (this.#detector.crash !== undefined) throw crashedBefore();
    const begin = this.#isBeginning ? [serialize.query("begin")] : [];
    this.#isBeginning = false;
    this.#events.onStep?.();
    const outcome = await this.#pg.execProtocolStream(Buffer.concat([...begin, ...parts])).then(
      (received) => ({ received }),
      (failure: unknown) => ({ failure }),
    );
    this.#events.onStep?.();
    // Whatever PGlite makes of a crash means nothing.
    this.#throwCrash();
    if ("failure" in outcome) throw toError(outcome.failure);
    return outcome.received;
  }

  #throwCrash(): void {
    const { crash } = this.#detector;
    if (crash === undefined) return;
    this.#events.onCrash?.();
    throw crash;
  }
}

const commit: Statement = { text: "commit", params: [] };
const nothing: QueryResult = { columns: [], rows: [], affectedRows: 0 };

/** invalid_sql_statement_name: somebody said `deallocate all`. */
const statementGone = "26000";

function toError(failure: unknown): Error {
  if (!(failure instanceof messages.DatabaseError)) {
    return failure instanceof Error ? failure : new Error(String(failure));
  }
  return new DatabaseError({
    message: failure.message,
    code: failure.code ?? "XX000",
    detail: failure.detail ?? null,
    hint: failure.hint ?? null,
    constraint: failure.constraint ?? null,
    position: failure.position === undefined ? null : Number(failure.position),
  });
}

/** One for each command that completed, in order; `begin` is one too. */
function resultsOf(received: readonly BackendMessage[]): QueryResult[] {
  const results: QueryResult[] = [];
  let columns: readonly string[] = [];
  let rows: (readonly SqlText[])[] = [];
  for (const message of received) {
    if (message instanceof messages.DataRowMessage) rows.push(message.fields);
    else if (message instanceof messages.RowDescriptionMessage)
      columns = message.fields.map((field) => field.name);
    else if (message instanceof messages.CommandCompleteMessage) {
      results.push({ columns, rows, affectedRows: rowsOfTag(message.text) });
      [columns, rows] = [[], []];
    }
  }
  return results;
}

/** "INSERT 0 3" and "SELECT 3" end with their number of rows, "CREATE TABLE" with none. */
function rowsOfTag(tag: string): number {
  const last = Number(tag.slice(tag.lastIndexOf(" ") + 1));
  return Number.isInteger(last) ? last : 0;
}
