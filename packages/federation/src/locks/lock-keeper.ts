import { sleep, type Clock } from "../runtime/clock.ts";
import { FederationError, isRetryable, toError } from "../runtime/errors.ts";
import { isRecord, numberField, stringField } from "../runtime/json.ts";
import { wakeDelayMs } from "../tasks/wake-up.ts";

export interface LockOptions {
  /** Milliseconds that it stays held should this process die. Renewed meanwhile. Default 30,000. */
  readonly ttlMs?: number | undefined;
  /** Stops waiting for it; what already holds it goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** Who holds a lock. */
export interface LockHolder {
  readonly name: string;
  readonly holder: string;
  readonly instance_id: string;
  readonly fence: number;
  /** ISO 8601. */
  readonly expires_at: string;
}

/** Somebody took a lock, or let it go. */
export interface LockEvent {
  readonly name: string;
  readonly holder: string;
  readonly fence: number;
}

export interface LockKeeperParts {
  readonly instanceId: string;
  readonly clock: Clock;
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  readonly agents: () => number;
  readonly tell: (event: "lock:taken" | "lock:freed", lock: LockEvent) => void;
}

const defaultTtlMs = 30_000;

/** A lock that is held. Let it go with `release()`, or by `await using`. */
export class HeldLock {
  readonly name: string;
  /** Grows with every holder: send it along, and whatever the lock protects can refuse an older one. */
  readonly fence: number;
  /** Aborts when the lock could not be renewed in time, so that somebody else may hold it. */
  readonly signal: AbortSignal;
  readonly #release: () => Promise<void>;

  constructor(name: string, fence: number, signal: AbortSignal, release: () => Promise<void>) {
    this.name = name;
    this.fence = fence;
    this.signal = signal;
    this.#release = release;
  }

  /** Twice is once. */
  async release(): Promise<void> {
    await this.#release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** Takes named locks, keeps them, and lets them go. Waiting does not poll: it is told when a lock is free, and knows when it runs out. */
export class LockKeeper {
  readonly #parts: LockKeeperParts;
  readonly #held = new Set<HeldLock>();
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #closing = new AbortController();
  #takers = 0;

  constructor(parts: LockKeeperParts) {
    this.#parts = parts;
  }

  /** Announced: a lock was taken or let go. */
  heard(payload: unknown): void {
    if (!isRecord(payload)) return;
    const [name, state, holder] = [
      stringField(payload, "name"),
      payload["state"],
      stringField(payload, "holder"),
    ];
    if (name === undefined || holder === undefined) return;
    const event = { name, holder, fence: numberField(payload, "fence") ?? 0 };
    if (state === "freed") for (const wake of this.#waiting.get(name) ?? []) wake();
    this.#parts.tell(state === "freed" ? "lock:freed" : "lock:taken", event);
  }

  /** Undefined while somebody else holds it. */
  async try(name: string, { ttlMs = defaultTtlMs }: LockOptions = {}): Promise<HeldLock | undefined> {
    const answer = await this.#take(name, ttlMs);
    if (!("held" in answer)) return undefined;
    if (this.#closing.signal.aborted) await answer.held.release();
    throwIfAborted(this.#closing.signal);
    return answer.held;
  }

  /** Resolves when it is held. Rejects with the signal's reason. */
  async take(name: string, { ttlMs = defaultTtlMs, signal }: LockOptions = {}): Promise<HeldLock> {
    const ends =
      signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    for (;;) {
      throwIfAborted(ends);
      // Before asking: it may be let go while the answer is on its way.
      const freed = this.#whenFreed(name);
      try {
        const answer = await this.#take(name, ttlMs);
        if ("held" in answer) {
          if (ends.aborted) await answer.held.release();
          throwIfAborted(ends);
          return answer.held;
        }
        await this.#either(freed.promise, answer.leftMs + 10, ends);
      } finally {
        freed.forget();
      }
      await sleep(this.#parts.clock, wakeDelayMs(name, this.#parts.instanceId, this.#waitersOf(name)), ends);
    }
  }

  async with<T>(
    name: string,
    run: (lock: HeldLock) => T | Promise<T>,
    options: LockOptions = {},
  ): Promise<T> {
    const lock = await this.take(name, options);
    try {
      return await run(lock);
    } finally {
      await lock.release();
    }
  }

  async holder(name: string): Promise<LockHolder | undefined> {
    const found = await this.#parts.call("get_lock", { name });
    return isRecord(found) ? (found as unknown as LockHolder) : undefined; // the columns of agent_locks
  }

  /** Lets all go, and ends all waiting. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort(new FederationError("closed", "the hub was shut down"));
    await Promise.all([...this.#held].map((lock) => lock.release().catch(() => undefined)));
  }

  async #take(name: string, ttlMs: number): Promise<{ held: HeldLock } | { leftMs: number }> {
    const { call, instanceId, clock } = this.#parts;
    const askedMs = clock.now();
    // A request that is repeated because its answer was lost takes what it has taken; another one of this process does not.
    const taker = `${instanceId}:${++this.#takers}`;
    const answer = await call("take_lock", { name, instance_id: taker, ttl_ms: Math.round(ttlMs) });
    const fence = isRecord(answer) ? numberField(answer, "fence") : undefined;
    if (!isRecord(answer) || fence === undefined) {
      if (isRecord(answer) && answer["held"] === false) return { leftMs: 0 }; // gone while it was asked for
      throw new FederationError("protocol", `take_lock ${name}: expected who holds it in the answer`);
    }
    if (answer["held"] !== true) return { leftMs: numberField(answer, "left_ms") ?? ttlMs };
    return { held: this.#keep(name, fence, ttlMs, askedMs) };
  }

  #keep(name: string, fence: number, ttlMs: number, sinceMs: number): HeldLock {
    const { call, clock } = this.#parts;
    const lost = new AbortController();
    let cancelRenewal = (): void => {};
    let cancelExpiry = (): void => {};
    let releasing: Promise<void> | undefined;
    const forget = (): boolean => {
      cancelRenewal();
      cancelExpiry();
      return this.#held.delete(lock);
    };
    const lose = (why: string): void => {
      if (forget()) lost.abort(new FederationError("invalid_state", `lock ${name}: ${why}`));
    };
    const renew = async (): Promise<void> => {
      const askedMs = clock.now();
      try {
        const isHeld = await call("renew_lock", { name, fence, ttl_ms: Math.round(ttlMs) });
        if (isHeld !== true) return lose("somebody else has taken it");
        keepSince(askedMs);
      } catch (error) {
        if (!isRetryable(error)) return lose("it could not be renewed");
      }
      if (this.#held.has(lock)) renewLater();
    };
    const renewLater = (): void => {
      cancelRenewal = clock.after(ttlMs / 3, () => void renew());
    };
    // By this clock, not by the answers: a renewal whose answer never comes has not held it.
    const keepSince = (askedMs: number): void => {
      if (!this.#held.has(lock)) return;
      cancelExpiry();
      cancelExpiry = clock.after(askedMs + ttlMs - clock.now(), () =>
        lose("it could not be renewed in time"),
      );
    };
    const lock: HeldLock = new HeldLock(name, fence, lost.signal, () => {
      releasing ??= (async () => {
        if (forget()) await call("release_lock", { name, fence });
      })();
      return releasing;
    });
    this.#held.add(lock);
    keepSince(sinceMs);
    renewLater();
    return lock;
  }

  #whenFreed(name: string): { readonly promise: Promise<void>; readonly forget: () => void } {
    const waiting = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, waiting);
    let wake = (): void => {};
    const promise = new Promise<void>((resolve) => (wake = resolve));
    waiting.add(wake);
    const forget = (): void => {
      waiting.delete(wake);
      if (waiting.size === 0) this.#waiting.delete(name);
    };
    return { promise, forget };
  }

  async #either(freed: Promise<void>, ms: number, ends: AbortSignal): Promise<void> {
    const stop = new AbortController();
    try {
      await Promise.race([freed, sleep(this.#parts.clock, ms, AbortSignal.any([ends, stop.signal]))]);
    } finally {
      stop.abort(new Error("done waiting"));
    }
  }

  /** As many as may wait: everybody. */
  #waitersOf(name: string): number {
    return Math.max(this.#parts.agents(), this.#waiting.get(name)?.size ?? 0);
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw toError(signal.reason);
}
