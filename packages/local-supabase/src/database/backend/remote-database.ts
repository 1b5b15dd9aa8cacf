import { databaseError } from "../database-errors.ts";
import { type Database, type QueryResult, type Session, type SqlText, type Statement } from "../database.ts";
import type { WorkerAnswer, WorkerTask } from "./messages.ts";

export interface RemoteDatabaseParts {
  /** Resolves to the transaction's id once it is open. */
  begin(): Promise<number>;
  ask(task: WorkerTask): Promise<WorkerAnswer>;
  listen(channel: string, onPayload: (payload: string) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

/** The worker's database as the main thread sees it. */
export class RemoteDatabase implements Database {
  readonly kind: Database["kind"];
  readonly #parts: RemoteDatabaseParts;

  constructor(kind: Database["kind"], parts: RemoteDatabaseParts) {
    this.kind = kind;
    this.#parts = parts;
  }

  query(sql: string, params: readonly SqlText[] = []): Promise<QueryResult> {
    return this.#query({ type: "query", sql, params });
  }

  async exec(sql: string): Promise<void> {
    await this.#parts.ask({ type: "exec", sql });
  }

  async transaction<T>(run: (session: Session) => Promise<T>): Promise<T> {
    const transaction = await this.#parts.begin();
    let isOpen = true;
    const query: Session["query"] = async (sql, params = []) => {
      if (!isOpen) throw databaseError("25P01", "the transaction has ended");
      return await this.#query({ type: "query", sql, params, transaction });
    };
    try {
      const result = await run({ query });
      await this.#parts.ask({ type: "commit", transaction });
      return result;
    } catch (error) {
      await this.#parts.ask({ type: "rollback", transaction }).catch(() => undefined);
      throw error;
    } finally {
      isOpen = false;
    }
  }

  batch(statements: readonly Statement[]): Promise<readonly QueryResult[]> {
    return this.transaction(async (session) => {
      const results: QueryResult[] = [];
      for (const { text, params } of statements) results.push(await session.query(text, params));
      return results;
    });
  }

  listen(channel: string, onPayload: (payload: string) => void): Promise<() => Promise<void>> {
    return this.#parts.listen(channel, onPayload);
  }

  close(): Promise<void> {
    return this.#parts.close();
  }

  async #query(task: WorkerTask): Promise<QueryResult> {
    // The worker answers a "query" with a QueryResult: request-runner.ts.
    return (await this.#parts.ask(task)) as QueryResult;
  }
}
