import type { Progress } from "./progress.ts";

export interface OverrunWatchOptions {
  readonly progress: Pick<Progress, "request" | "steps">;
  /** How long one statement may take; 0: for ever. */
  readonly statementTimeoutMs: number;
  /** With the request whose statement takes too long. Called once. */
  readonly onOverrun: (request: number) => void;
}

/**
 * Looks at regular times whether the worker still is in the same statement of the same request. It counts its looks
 * instead of measuring time: a machine that slept, or a busy main thread, ends no statement.
 */
export class OverrunWatch {
  readonly #options: OverrunWatchOptions;
  readonly #maxLooks: number;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #last = { request: 0, steps: 0, looks: 0 };

  constructor(options: OverrunWatchOptions) {
    this.#options = options;
    this.#everyMs = Math.min(250, Math.max(10, options.statementTimeoutMs / 8));
    this.#maxLooks = Math.ceil(options.statementTimeoutMs / this.#everyMs) + 1;
  }

  start(): void {
    if (this.#options.statementTimeoutMs === 0) return;
    this.#timer ??= setInterval(() => this.#look(), this.#everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#last = { request: 0, steps: 0, looks: 0 };
  }

  #look(): void {
    const { request, steps } = this.#options.progress;
    const isSame = request !== 0 && request === this.#last.request && steps === this.#last.steps;
    this.#last = { request, steps, looks: isSame ? this.#last.looks + 1 : 0 };
    if (this.#last.looks < this.#maxLooks) return;
    this.stop();
    this.#options.onOverrun(request);
  }
}
