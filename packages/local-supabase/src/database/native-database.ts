import type pg from "pg";
import { closedError, swallowedFailure } from "./database-errors.ts";
import type { Database, QueryResult, Session, SqlText, Statement } from "./database.ts";
import { rethrow, toDatabaseError } from "./native-errors.ts";
import type { NativeListener } from "./native-listener.ts";

export interface NativeParts {
  /** Of clients that take a statement before the last is answered (`pipeline`). */
  readonly pool: pg.Pool;
  readonly listener: NativeListener;
}

/** A native Postgres through a pool of the `pg` driver. Values stay text: the driver's parsers are off. */
export class NativeDatabase implements Database {
  readonly kind = "native";
  readonly #parts: NativeParts;
  #closing: Promise<void> | undefined;

  constructor(parts: NativeParts) {
    this.#parts = parts;
  }

  query(sql: string, params: readonly SqlText[] = []): Promise<QueryResult> {
    return this.#withClient((client) => send(client, sql, params));
  }

  exec(sql: string): Promise<void> {
    return this.#withClient(async (client) => {
      try {
        await client.query(sql);
      } catch (error) {
        throw toDatabaseError(error);
      }
    });
  }

  transaction<T>(run: (session: Session) => Promise<T>): Promise<T> {
    return this.#withClient(async (client) => {
      await send(client, "begin", []);
      const result = await run({ query: (sql, params = []) => send(client, sql, params) });
      // COMMIT of a transaction in which a statement failed is a rollback that reports no error.
      const { command } = await client.query("commit").catch(rethrow);
      if (command === "ROLLBACK") throw swallowedFailure();
      return result;
    });
  }

  /** All are sent before the first is answered: what follows one that failed fails, too, and none of it is kept. */
  batch(statements: readonly Statement[]): Promise<readonly QueryResult[]> {
    return this.#withClient(async (client) => {
      const begun = send(client, "begin", []);
      const sent = statements.map(({ text, params }) => send(client, text, params));
      const ended = client.query("commit").catch(rethrow);
      const outcomes = await Promise.allSettled([begun, ...sent, ended]);
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
      if ((await ended).command === "ROLLBACK") throw swallowedFailure();
      return await Promise.all(sent);
    });
  }

  listen(channel: string, onPayload: (payload: string) => void): Promise<() => Promise<void>> {
    return this.#parts.listener.listen(channel, onPayload);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#parts.listener.close();
    await this.#parts.pool.end();
  }

  /** A client in whose task something failed is asked to roll back, and thrown away if it cannot. */
  async #withClient<T>(task: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw closedError();
    const client = await this.#parts.pool.connect().catch(rethrow);
    client.on("error", alsoRejected); // what nobody listens to would end the process
    try {
      const result = await task(client);
      client.release();
      return result;
    } catch (error) {
      await client.query("rollback").then(
        () => client.release(),
        (failure: Error) => client.release(failure),
      );
      throw error;
    } finally {
      client.off("error", alsoRejected);
    }
  }
}

/** A connection that is lost rejects its statements as well. */
function alsoRejected(): void {}

async function send(client: pg.PoolClient, text: string, params: readonly SqlText[]): Promise<QueryResult> {
  try {
    const result = await client.query<SqlText[]>({
      text,
      values: [...params],
      rowMode: "array",
      types: textOnly,
    });
    return {
      columns: result.fields.map((field) => field.name),
      rows: result.rows,
      affectedRows: result.rowCount ?? 0,
    };
  } catch (error) {
    throw toDatabaseError(error);
  }
}

const textOnly: pg.CustomTypesConfig = { getTypeParser: () => (value: unknown) => value };
