import type { Rest } from "../../rest/rest.ts";
import { databaseError } from "../database-errors.ts";
import type { Database, Session } from "../database.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { WorkerAnswer, WorkerMessage, WorkerRequest } from "./messages.ts";
import type { Progress } from "./progress.ts";

export interface RequestRunnerParts {
  readonly database: Database;
  readonly rest: Rest;
  readonly progress: Progress;
  readonly post: (message: WorkerMessage) => void;
}

/** A transaction that the main thread holds open. */
interface OpenTransaction {
  readonly session: Session;
  readonly ended: Promise<void>;
  commit(): void;
  rollback(): void;
}

/**
 * Runs what the main thread asks for. On the embedded database one request after the other, so that the one that
 * blocks the worker has a name; statements of an open transaction go before whatever waits for its end. On native
 * Postgres everything at once.
 */
export class RequestRunner {
  readonly #parts: RequestRunnerParts;
  readonly #queue: Pick<SerialQueue, "run">;
  readonly #transactions = new Map<number, OpenTransaction>();
  readonly #listening = new Map<string, Promise<() => Promise<void>>>();

  constructor(parts: RequestRunnerParts) {
    this.#parts = parts;
    this.#queue = parts.database.kind === "embedded" ? new SerialQueue() : { run: (task) => task() };
  }

  async run(request: WorkerRequest): Promise<WorkerAnswer> {
    const { database, rest } = this.#parts;
    switch (request.type) {
      case "rest":
        return await this.#inTurn(request.id, () => rest.answer(request.request));
      case "exec":
        await this.#inTurn(request.id, () => database.exec(request.sql));
        return null;
      case "query": {
        const { sql, params, transaction } = request;
        if (transaction === undefined)
          return await this.#inTurn(request.id, () => database.query(sql, params));
        const { session } = this.#open(transaction);
        return await this.#working(request.id, () => session.query(sql, params));
      }
      case "begin":
        await this.#begin(request.id);
        return null;
      case "commit": {
        const transaction = this.#open(request.transaction);
        this.#transactions.delete(request.transaction);
        transaction.commit();
        await this.#working(request.id, () => transaction.ended);
        return null;
      }
      case "rollback": {
        const transaction = this.#open(request.transaction);
        this.#transactions.delete(request.transaction);
        transaction.rollback();
        await this.#working(request.id, () => transaction.ended.catch(() => undefined));
        return null;
      }
      case "listen":
        await this.#inTurn(request.id, () => this.#listen(request.channel));
        return null;
      case "unlisten":
        await this.#inTurn(request.id, () => this.#unlisten(request.channel));
        return null;
      case "close":
        return null;
    }
  }

  /** What is open is rolled back; what waits in the queue fails when the database is closed. */
  async close(): Promise<void> {
    for (const transaction of this.#transactions.values()) transaction.rollback();
    this.#transactions.clear();
    await this.#parts.database.close();
  }

  #inTurn<T>(request: number, task: () => Promise<T>): Promise<T> {
    return this.#queue.run(() => this.#working(request, task));
  }

  /** Only the embedded database has one request at a time to name. */
  #working<T>(request: number, task: () => Promise<T>): Promise<T> {
    const { database, progress } = this.#parts;
    return database.kind === "embedded" ? progress.during(request, task) : task();
  }

  #open(id: number): OpenTransaction {
    const transaction = this.#transactions.get(id);
    if (transaction === undefined) throw databaseError("25P01", "the transaction has ended");
    return transaction;
  }

  /** Resolves when the transaction is open; the queue goes on when it has ended. */
  #begin(id: number): Promise<void> {
    return new Promise((opened, failed) => {
      void this.#queue.run(async () => {
        const ended = this.#parts.database.transaction(
          (session) =>
            new Promise<void>((commit, rollback) => {
              this.#transactions.set(id, {
                session,
                commit,
                rollback: () => rollback(new RollbackRequested()),
                // Read only once `commit` or `rollback` was called, when `ended` has long been assigned.
                get ended() {
                  return ended;
                },
              });
              opened();
            }),
        );
        await ended.catch(failed);
      });
    });
  }

  async #listen(channel: string): Promise<void> {
    const listening =
      this.#listening.get(channel) ??
      this.#parts.database.listen(channel, (payload) =>
        this.#parts.post({ type: "notification", channel, payload }),
      );
    this.#listening.set(channel, listening);
    await listening;
  }

  async #unlisten(channel: string): Promise<void> {
    const stop = await this.#listening.get(channel);
    this.#listening.delete(channel);
    await stop?.();
  }
}

class RollbackRequested extends Error {}
