/** What a listener returns is ignored, except that a promise is waited for and its rejection reported. */
export type Listener<T> = (event: T) => unknown;

export interface ListenOptions {
  /** Removes the listener when it aborts. */
  readonly signal?: AbortSignal;
}

/** What became of one `emit`. */
export interface Emission {
  /** How many listeners were called. */
  readonly listeners: number;
  /** Resolves when all of them, promises included, have ended; to what they threw. Never rejects. */
  readonly finished: Promise<readonly unknown[]>;
  /** Once finished: calls those again that failed. */
  readonly again: () => Emission;
}

export type ReportListenerError = (error: unknown, event: string) => void;

export const nobody: Emission = { listeners: 0, finished: Promise.resolve([]), again: () => nobody };

/** Two emissions as one. */
export function both(one: Emission, other: Emission): Emission {
  return {
    listeners: one.listeners + other.listeners,
    finished: Promise.all([one.finished, other.finished]).then((errors) => errors.flat()),
    again: () => both(one.again(), other.again()),
  };
}

/** Typed events. Listeners are called synchronously, in the order they were added; one that fails is reported and ends nothing. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Entry>>();
  readonly #report: ReportListenerError;

  constructor(report: ReportListenerError) {
    this.#report = report;
  }

  /** Returns the function that removes the listener. Adding one twice means being called twice. */
  on<K extends keyof Events>(
    event: K,
    listener: Listener<Events[K]>,
    options: ListenOptions = {},
  ): () => void {
    const { signal } = options;
    if (signal?.aborted) return () => {};
    const entry: Entry = { listener: listener as Listener<unknown>, once: false }; // only ever called with Events[K]
    return this.#add(event, entry, signal);
  }

  /** Like `on`, for one event. */
  once<K extends keyof Events>(
    event: K,
    listener: Listener<Events[K]>,
    options: ListenOptions = {},
  ): () => void {
    const { signal } = options;
    if (signal?.aborted) return () => {};
    const entry: Entry = { listener: listener as Listener<unknown>, once: true }; // only ever called with Events[K]
    return this.#add(event, entry, signal);
  }

  /** Removes every registration of this listener. */
  off<K extends keyof Events>(event: K, listener: Listener<Events[K]>): void {
    const entries = this.#listeners.get(event);
    for (const entry of entries ?? []) if (entry.listener === listener) this.#remove(event, entry);
  }

  /** Calls one listener with an event that is over, guarded as in `emit`. */
  tell<K extends keyof Events>(event: K, listener: Listener<Events[K]>, value: Events[K]): void {
    try {
      const returned = listener(value);
      if (isThenable(returned))
        Promise.resolve(returned).catch((error: unknown) => this.#report(error, String(event)));
    } catch (error) {
      this.#report(error, String(event));
    }
  }

  listenerCount(event: keyof Events): number {
    return this.#listeners.get(event)?.size ?? 0;
  }

  emit<K extends keyof Events>(event: K, value: Events[K]): Emission {
    const entries = this.#listeners.get(event);
    // A listener may add or remove others.
    return entries === undefined ? nobody : this.#call(event, value, [...entries]);
  }

  #call<K extends keyof Events>(event: K, value: Events[K], called: readonly Entry[]): Emission {
    if (called.length === 0) return nobody;
    const failed: Entry[] = [];
    const pending: Promise<unknown>[] = [];
    const errors: unknown[] = [];
    const fail = (entry: Entry, error: unknown): void => {
      failed.push(entry);
      errors.push(error);
      this.#report(error, String(event));
    };
    for (const entry of called) {
      if (entry.once) this.#remove(event, entry);
      try {
        const returned = entry.listener(value);
        if (isThenable(returned))
          pending.push(Promise.resolve(returned).catch((error: unknown) => fail(entry, error)));
      } catch (error) {
        fail(entry, error);
      }
    }
    const finished = pending.length === 0 ? Promise.resolve(errors) : Promise.all(pending).then(() => errors);
    return { listeners: called.length, finished, again: () => this.#call(event, value, failed) };
  }

  #add(event: keyof Events, entry: Entry, signal: AbortSignal | undefined): () => void {
    let entries = this.#listeners.get(event);
    if (entries === undefined) this.#listeners.set(event, (entries = new Set()));
    entries.add(entry);
    const onAbort = (): void => this.#remove(event, entry);
    signal?.addEventListener("abort", onAbort, { once: true });
    return () => {
      signal?.removeEventListener("abort", onAbort);
      this.#remove(event, entry);
    };
  }

  #remove(event: keyof Events, entry: Entry): void {
    const entries = this.#listeners.get(event);
    entries?.delete(entry);
    if (entries?.size === 0) this.#listeners.delete(event);
  }
}

interface Entry {
  readonly listener: Listener<unknown>;
  readonly once: boolean;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
