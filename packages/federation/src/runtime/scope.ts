import { FederationError, toError } from "./errors.ts";

/**
 * The one owner of what runs: an abort signal, tasks and clean-ups. Closing aborts, waits for the tasks, then cleans up,
 * newest first, and reports every failure.
 */
export class Scope {
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #cleanups: (() => unknown)[] = [];
  readonly #report: (error: Error) => void;
  #closing: Promise<void> | undefined;

  constructor(report: (error: Error) => void) {
    this.#report = report;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isClosed(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Runs `task` until it ends; what it throws is reported, unless the scope was closing. */
  run(task: (signal: AbortSignal) => Promise<unknown>): void {
    if (this.isClosed) return;
    const running = task(this.signal)
      .catch((error: unknown) => {
        if (!this.isClosed) this.#report(toError(error));
      })
      .then(() => void this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  /** Runs when the scope closes, newest first. In a scope that is closed already it runs at once. */
  defer(cleanup: () => unknown): void {
    if (this.#closing === undefined) this.#cleanups.push(cleanup);
    else void this.#clean(cleanup);
  }

  /** Closing twice returns the same promise. Never rejects. */
  close(reason: Error = new FederationError("closed", "this was closed")): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #close(reason: Error): Promise<void> {
    this.#controller.abort(reason);
    await Promise.all(this.#tasks);
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop())
      await this.#clean(cleanup);
  }

  async #clean(cleanup: () => unknown): Promise<void> {
    try {
      await cleanup();
    } catch (error) {
      this.#report(toError(error));
    }
  }
}
