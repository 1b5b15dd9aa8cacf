import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { isLocalSupabaseErrorCode, LocalSupabaseError } from "../../start-error.ts";
import type { StartFailure, WorkerMessage, WorkerRequest, WorkerSettings } from "./messages.ts";

export interface WorkerEvents {
  onMessage(message: WorkerMessage): void;
  /** After the last message. */
  onExit(cause: Error | undefined): void;
}

/** One life of the worker: from `open`, which resolves when the database can be used, to its exit. */
export class WorkerThread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly applied: readonly string[];

  private constructor(worker: Worker, applied: readonly string[], exited: Promise<void>) {
    this.#worker = worker;
    this.applied = applied;
    this.#exited = exited;
  }

  /** An abort ends the worker wherever it is; the folder is then as after a kill. */
  static open(
    settings: WorkerSettings,
    events: WorkerEvents,
    signal: AbortSignal | undefined,
  ): Promise<WorkerThread> {
    const worker = startWorker(settings);
    const onAbort = (): void => void worker.terminate();
    signal?.addEventListener("abort", onAbort, { once: true });
    let cause: Error | undefined;
    worker.on("error", (error: Error) => (cause = error));
    const exited = new Promise<void>((done) => worker.once("exit", () => done()));
    return new Promise((opened, failed) => {
      let problem: Error | undefined;
      const exitedEarly = (): void => {
        signal?.removeEventListener("abort", onAbort);
        if (signal?.aborted === true) problem = toReason(signal.reason);
        failed(problem ?? cause ?? new Error("the database worker ended while it started"));
      };
      worker.once("exit", exitedEarly);
      worker.on("message", (message: WorkerMessage) => {
        if (message.type === "unusable") {
          problem = toError(message.error);
          void worker.terminate();
        } else if (message.type === "ready") {
          worker.off("exit", exitedEarly);
          signal?.removeEventListener("abort", onAbort);
          worker.once("exit", () => events.onExit(cause));
          opened(new WorkerThread(worker, message.applied, exited));
        } else {
          events.onMessage(message);
        }
      });
    });
  }

  post(request: WorkerRequest): void {
    this.#worker.postMessage(request);
  }

  /** Also ends a statement that runs. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
    await this.#exited;
  }
}

/** So that Postgres' own limit (54001) is met before the thread's stack ends; 32 is too little, 128 was enough. */
const stackSizeMb = 256;

function startWorker(settings: WorkerSettings): Worker {
  const options = { name: "supabase-local database", workerData: settings, resourceLimits: { stackSizeMb } };
  if (!import.meta.url.endsWith(".ts"))
    return new Worker(new URL("./worker-main.js", import.meta.url), options);
  // From source: Node 20 applies a loader given by --import to what a worker imports, but not to the worker's own file.
  const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm/api")).href.replace(
    /cjs$/,
    "mjs",
  );
  const entry = new URL("./worker-main.ts", import.meta.url).href;
  const script = `import(${JSON.stringify(loader)}).then(({ register }) => {
    register();
    return import(${JSON.stringify(entry)});
  })`;
  return new Worker(script, { ...options, eval: true, execArgv: ["--conditions=@agent-federation/source"] });
}

function toReason(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

function toError({ code, message, remedy }: StartFailure): Error {
  return isLocalSupabaseErrorCode(code)
    ? new LocalSupabaseError(code, message, { remedy })
    : new Error(message);
}
