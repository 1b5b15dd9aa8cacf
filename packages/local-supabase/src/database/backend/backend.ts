import type { Rest, RestOptions, RestRequest, RestResponse } from "../../rest/rest.ts";
import { closedError, databaseError, statementTimeout } from "../database-errors.ts";
import { DatabaseError, type Database } from "../database.ts";
import type { DatabaseSource, WorkerAnswer, WorkerMessage, WorkerTask } from "./messages.ts";
import { OverrunWatch } from "./overrun-watch.ts";
import { Progress } from "./progress.ts";
import { RemoteDatabase } from "./remote-database.ts";
import { Turns } from "./turns.ts";
import { WorkerThread } from "./worker-thread.ts";

export interface BackendOptions {
  readonly source: DatabaseSource;
  readonly rest: RestOptions;
  readonly migrationsDir: string | undefined;
  readonly log: (
    level: "error" | "info" | "debug",
    message: string,
    fields?: Record<string, unknown>,
  ) => void;
  /** A line for a person who waits. */
  readonly onProgress: (text: string) => void;
  /** Ends the opening, however far it is; later aborts mean nothing. */
  readonly signal?: AbortSignal | undefined;
}

interface Pending {
  readonly task: WorkerTask;
  resolve(answer: WorkerAnswer): void;
  reject(error: DatabaseError): void;
}

/*  running ──statement overran, worker crashed──▶ restarting ──opened──▶ running
 *  restarting ──cannot be opened──▶ dead            any ──close──▶ closed  */
type State =
  | { readonly name: "running"; readonly thread: WorkerThread }
  | { readonly name: "closed"; readonly thread: WorkerThread | undefined }
  | { readonly name: "restarting" | "dead" };

/**
 * Database and REST behind a worker thread. A statement that overruns its time on the embedded database cannot be
 * interrupted, so its worker is ended and another one opens the same folder: whoever asked for the statement gets 57014,
 * transactions that the main thread held are gone (57P01), everything that had not begun is asked again.
 */
export class Backend {
  readonly #options: BackendOptions;
  readonly #progress = new Progress();
  readonly #watch: OverrunWatch;
  readonly #turns: Turns;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Map<string, Set<(payload: string) => void>>();
  #state: State = { name: "restarting" };
  #lastId = 0;
  #overran: number | undefined;
  #closing: Promise<void> | undefined;
  #restart: Promise<void> = Promise.resolve();
  #reportDeath: (cause: Error) => void = () => undefined;

  /** Resolves if the backend ends without having been closed. */
  readonly died: Promise<Error>;
  readonly database: Database;
  readonly rest: Rest;

  private constructor(options: BackendOptions) {
    this.#options = options;
    this.died = new Promise((died) => (this.#reportDeath = died));
    this.#turns = new Turns(options.source.kind === "embedded" ? requestsAtOnce : Infinity);
    this.#watch = new OverrunWatch({
      progress: this.#progress,
      statementTimeoutMs: options.source.kind === "embedded" ? options.rest.statementTimeoutMs : 0,
      onOverrun: (request) => this.#end(request),
    });
    this.database = new RemoteDatabase(options.source.kind, {
      begin: () => this.#begin(),
      ask: (task) => this.#ask(task),
      listen: (channel, onPayload) => this.#listen(channel, onPayload),
      close: () => this.close(),
    });
    this.rest = { answer: (request, signal) => this.#answer(request, signal) };
  }

  /** Resolves when the database is open, migrated and served; with the migrations applied now. */
  static async open(options: BackendOptions): Promise<{ backend: Backend; applied: readonly string[] }> {
    const backend = new Backend(options);
    const thread = await backend.#openThread(options.migrationsDir, options.signal);
    backend.#state = { name: "running", thread };
    return { backend, applied: thread.applied };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const state = this.#state;
    const closed = state.name === "running" ? this.#ask({ type: "close" }) : undefined;
    this.#state = { name: "closed", thread: state.name === "running" ? state.thread : undefined };
    // The worker may be ended below us: by an overrun, or because it crashed.
    await closed?.catch(() => undefined);
    if (state.name === "running") await state.thread.terminate();
    await this.#restart;
    this.#watch.stop();
    this.#rejectAll(closedError());
  }

  #openThread(migrationsDir?: string, signal?: AbortSignal): Promise<WorkerThread> {
    const { source, rest } = this.#options;
    return WorkerThread.open(
      { source, rest, migrationsDir, progress: this.#progress.shared },
      { onMessage: (message) => this.#receive(message), onExit: (cause) => this.#exited(cause) },
      signal,
    );
  }

  /** A transaction is named after the request that began it. A worker started since then does not know it. */
  async #begin(): Promise<number> {
    const id = ++this.#lastId;
    await this.#ask({ type: "begin" }, id);
    return id;
  }

  #ask(task: WorkerTask, id = ++this.#lastId): Promise<WorkerAnswer> {
    if (this.#state.name === "closed") return Promise.reject(closedError());
    if (this.#state.name === "dead") return Promise.reject(gone());
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { task, resolve, reject });
      if (this.#state.name === "running") this.#state.thread.post({ id, ...task });
      this.#watch.start();
    });
  }

  #receive(message: WorkerMessage): void {
    switch (message.type) {
      case "done":
        this.#take(message.id)?.resolve(message.value);
        return;
      case "failed":
        this.#take(message.id)?.reject(new DatabaseError(message.error));
        return;
      case "notification":
        for (const onPayload of this.#listeners.get(message.channel) ?? []) onPayload(message.payload);
        return;
      case "log":
        this.#options.log(message.level, message.message, { ...message.fields });
        return;
      case "progress":
        this.#options.onProgress(message.text);
        return;
      case "ready":
      case "unusable":
        return;
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#watch.stop();
    return pending;
  }

  #end(request: number): void {
    const thread = "thread" in this.#state ? this.#state.thread : undefined;
    if (thread === undefined) return;
    this.#options.log(
      "error",
      "a statement overran its time; the embedded database is ended and opened again",
    );
    this.#overran = request;
    void thread.terminate();
  }

  /** All that the worker had to say has been received. */
  #exited(cause: Error | undefined): void {
    const overran = this.#overran;
    this.#overran = undefined;
    if (overran !== undefined) this.#take(overran)?.reject(statementTimeout());
    if (this.#state.name === "closed") {
      this.#rejectAll(closedError());
      return;
    }
    if (overran === undefined) {
      this.#options.log("error", "the database worker ended unexpectedly; it is started again", {
        cause: cause?.message,
      });
    }
    this.#rejectInterrupted(this.#progress.request);
    this.#progress.clear();
    this.#state = { name: "restarting" };
    this.#restart = this.#openThread().then(
      (thread) => this.#resume(thread),
      (error: Error) => this.#die(error),
    );
  }

  /** What may have been done already is not done again. */
  #rejectInterrupted(running: number): void {
    for (const [id, { task }] of this.#pending) {
      const isInTransaction = "transaction" in task && task.transaction !== undefined;
      if (this.#options.source.kind === "native" || id === running || isInTransaction) {
        this.#take(id)?.reject(gone());
      }
    }
  }

  async #resume(thread: WorkerThread): Promise<void> {
    if (this.#state.name !== "restarting") {
      await thread.terminate();
      return;
    }
    this.#state = { name: "running", thread };
    const interrupted = [...this.#pending];
    for (const channel of this.#listeners.keys()) {
      this.#ask({ type: "listen", channel }).catch((error: unknown) =>
        this.#options.log("error", "listening again failed", { channel, error: String(error) }),
      );
    }
    for (const [id, { task }] of interrupted) thread.post({ id, ...task });
  }

  #die(cause: Error): void {
    if (this.#state.name === "closed") return;
    this.#state = { name: "dead" };
    this.#rejectAll(gone());
    this.#reportDeath(cause);
  }

  #rejectAll(error: DatabaseError): void {
    for (const id of this.#pending.keys()) this.#take(id)?.reject(error);
  }

  async #listen(channel: string, onPayload: (payload: string) => void): Promise<() => Promise<void>> {
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(onPayload));
    await this.#ask({ type: "listen", channel });
    return async () => {
      if (!listeners.delete(onPayload) || listeners.size > 0) return;
      this.#listeners.delete(channel);
      if (this.#state.name !== "closed") await this.#ask({ type: "unlisten", channel });
    };
  }

  async #answer(request: RestRequest, signal?: AbortSignal): Promise<RestResponse> {
    try {
      const answer = await this.#turns.take(() => this.#ask({ type: "rest", request }), signal);
      // The worker answers a "rest" with a RestResponse: request-runner.ts.
      return answer === undefined ? goneClient : (answer as RestResponse);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      return error.code === "57014" ? errorResponse(500, error) : errorResponse(503, error);
    }
  }
}

/**
 * Requests that the worker of the embedded database has at a time: enough for it never to wait. The others wait here, where a client
 * that gives up takes its request back; what it then asks again would else wait behind what nobody waits for, the longer the more.
 */
const requestsAtOnce = 4;

/** Nobody reads it. */
const goneClient: RestResponse = { status: 499, headers: {}, body: "" };

/** PostgREST's body for what the database said. */
function errorResponse(status: number, { code, message, detail, hint }: DatabaseError): RestResponse {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8" },
    body: JSON.stringify({ code, details: detail, hint, message }),
  };
}

function gone(): DatabaseError {
  return databaseError(
    "57P01",
    "the database was restarted; it is unknown whether the statement was carried out",
  );
}
