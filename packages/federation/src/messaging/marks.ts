import type { Clock } from "../runtime/clock.ts";
import { isRetryable } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

/** `begun`: a handler began. */
export type Mark = "delivered" | "begun" | "handled";

export interface MarksParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly mark: (ids: readonly string[], state: Mark) => Promise<unknown>;
}

const collectMs = 20;
const largest = 1_000;
const againMs = 1_000;

/**
 * Tells the database what arrived and what was handled, many messages at a time; again, until it has heard. Only the last flush, at the
 * end, may be in vain: then those messages are delivered again to the next process of this agent.
 */
export class Marks {
  readonly #parts: MarksParts;
  readonly #pending: Record<Mark, Set<string>> = {
    delivered: new Set(),
    begun: new Set(),
    handled: new Set(),
  };
  #cancel: (() => void) | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(parts: MarksParts) {
    this.#parts = parts;
  }

  add(id: string, state: Mark): void {
    this.#pending[state].add(id);
    // What is said later says the former, too.
    if (state !== "delivered") this.#pending.delivered.delete(id);
    if (state === "handled") this.#pending.begun.delete(id);
    if (this.#isClosed) return;
    if (this.#pending[state].size >= largest) void this.flush();
    else this.#cancel ??= this.#parts.clock.after(collectMs, () => void this.flush());
  }

  /** Resolves when everything added so far was told, or could not be. */
  flush(isLast = false): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const state of ["delivered", "begun", "handled"] as const)
      this.#flushing = this.#flushing.then(() => this.#send(state, isLast));
    return this.#flushing;
  }

  /** Flushes for the last time. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.flush(true);
  }

  async #send(state: Mark, isLast: boolean): Promise<void> {
    const ids = [...this.#pending[state]].slice(0, largest);
    if (ids.length === 0) return;
    for (const id of ids) this.#pending[state].delete(id);
    try {
      await this.#parts.mark(ids, state);
    } catch (error) {
      this.#parts.log("debug", "messages could not be marked", { state, count: ids.length, error });
      // That a handler began says little once it was not said at once.
      if (state !== "begun" && isRetryable(error) && !isLast) return this.#again(ids, state);
    }
    if (this.#pending[state].size > 0) await this.#send(state, isLast);
  }

  #again(ids: readonly string[], state: Mark): void {
    for (const id of ids)
      if (state === "handled" || !this.#pending.handled.has(id)) this.#pending[state].add(id);
    if (!this.#isClosed) this.#cancel ??= this.#parts.clock.after(againMs, () => void this.flush());
  }
}
