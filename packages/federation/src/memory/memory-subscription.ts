import { DependableChannel } from "../connection/dependable-channel.ts";
import { backoffMs } from "../runtime/backoff.ts";
import { sleep } from "../runtime/clock.ts";
import { isRetryable, toError } from "../runtime/errors.ts";
import { isRecord } from "../runtime/json.ts";
import { Scope } from "../runtime/scope.ts";
import type { Acting } from "./acting.ts";
import type { ResolvedAdapterOptions } from "./adapter-options.ts";
import { parseMemory, type StoredMemory } from "./memory.ts";
import { memoriesChangedSince, newestPlace, type PlacedMemory } from "./read-memories.ts";

/** Whether the memory is new, or one that was there before has other content now. */
export type MemoryChange = "added" | "updated";

export type OnMemory = (memory: StoredMemory, change: MemoryChange) => unknown;

export interface SubscriptionParts {
  readonly options: ResolvedAdapterOptions;
  /** A connection of this subscription's own. */
  readonly open: () => Promise<Acting>;
  readonly onMemory: OnMemory;
}

// Numbers are given before a transaction commits, so a later one may be seen first. Looking back this far finds whatever was under way.
const lookBack = 1000n;
const mostRemembered = 5000;

export interface Subscription {
  /** Settles once it is known where "from now on" begins, or that this will take longer. Never rejects. */
  readonly begun: Promise<void>;
  /** Ends it. Resolves when nothing of it runs any more. */
  readonly close: () => Promise<void>;
}

/**
 * Tells of every memory that is stored from now on, live, and after an outage of those that were missed, once each. A callback that
 * fails is logged and ends nothing.
 */
export function subscribeToFeed(parts: SubscriptionParts): Subscription {
  const { options } = parts;
  const scope = new Scope((error) => options.log("error", "a memory subscription failed", { error }));
  const begun = new Promise<void>((resolve) => {
    scope.defer(resolve);
    scope.run((signal) => follow(parts, scope, resolve, signal).finally(resolve));
  });
  return { begun, close: () => scope.close() };
}

async function follow(
  parts: SubscriptionParts,
  scope: Scope,
  begin: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { options, onMemory } = parts;
  const { log, clock, random } = options;
  const acting = await patiently(parts.open, options, begin, signal);
  if (acting === undefined) return;
  scope.defer(() => acting.connection.close());
  const feed = new Feed(acting, async (memory, change) => {
    if (signal.aborted) return;
    try {
      await onMemory(memory, change);
    } catch (error) {
      log("error", "a subscribeToMemories callback failed", { error: toError(error) });
    }
  });
  if ((await patiently(() => feed.begin(signal).then(() => true), options, begin, signal)) === undefined)
    return;
  begin();
  // One after the other: what is read after an outage comes before what is live then.
  let last: Promise<void> = Promise.resolve();
  const inTurn = (task: () => Promise<void>): void => {
    last = last.then(task).catch((error: unknown) => {
      if (!signal.aborted) log("error", "memories of the feed could not be read", { error: toError(error) });
    });
  };
  const catchUp = (): void => inTurn(() => feed.catchUp(signal));
  const channel = new DependableChannel(
    {
      topic: `federation:${acting.tenantId}:feed`,
      config: { private: true },
      bind: (built) =>
        void built.on("broadcast", { event: "memory" }, ({ payload }: { payload: unknown }) =>
          inTurn(() => feed.take(payload, signal)),
        ),
      onJoined: catchUp,
      onReplicating: catchUp,
      onState: (state) =>
        log("debug", "the memory feed changed its state", { tenantId: acting.tenantId, state: state.name }),
    },
    { host: acting.connection, clock, random, log, joinTimeoutMs: options.requestTimeoutMs },
  );
  scope.defer(() => channel.close());
  channel.open();
}

/** Nobody waits for a subscription, so it waits for the network; `begin` says that it will. Undefined once the signal aborts. */
export async function patiently<T>(
  task: () => Promise<T>,
  { clock, random }: ResolvedAdapterOptions,
  begin: () => void,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (let tries = 1; !signal.aborted; tries++) {
    try {
      return await task();
    } catch (error) {
      if (!isRetryable(error)) throw error;
      begin();
      await sleep(clock, backoffMs(tries, { minMs: 250, maxMs: 30_000 }, random), signal).catch(
        () => undefined,
      );
    }
  }
  return undefined;
}

/** Knows what was told already, and from where to read after an outage. */
class Feed {
  readonly #acting: Acting;
  readonly #tell: (memory: StoredMemory, change: MemoryChange) => Promise<void>;
  /** `id version`, oldest first. */
  readonly #told = new Set<string>();
  #newest = 0n;

  constructor(acting: Acting, tell: (memory: StoredMemory, change: MemoryChange) => Promise<void>) {
    this.#acting = acting;
    this.#tell = tell;
  }

  /** A broadcast of the feed: rows, or ids where the rows were too large. */
  async take(payload: unknown, signal: AbortSignal): Promise<void> {
    if (!isRecord(payload) || (payload["op"] !== "added" && payload["op"] !== "updated")) return;
    const { op, memories, ids } = payload;
    if (Array.isArray(memories)) {
      for (const row of memories) await this.#tellOnce(placed(row), op);
    } else if (Array.isArray(ids)) {
      for (const id of ids) {
        const row = await this.#acting.connection.callPlain(
          "get_memory",
          { id: String(id), ...this.#acting.as },
          { signal },
        );
        if (row !== null) await this.#tellOnce(placed(row), op);
      }
    }
  }

  /** Remembers where we are: what was stored before is nobody's news. */
  async begin(signal: AbortSignal): Promise<void> {
    this.#newest = BigInt(await newestPlace(this.#acting, signal));
    await this.#eachSince(this.#newest, signal, async (row) => void this.#remember(row));
  }

  /** After each join: tells of what was stored meanwhile. */
  async catchUp(signal: AbortSignal): Promise<void> {
    await this.#eachSince(this.#newest, signal, (row) =>
      this.#tellOnce(row, row.memory.version === 1 ? "added" : "updated"),
    );
  }

  async #eachSince(
    place: bigint,
    signal: AbortSignal,
    use: (row: PlacedMemory) => Promise<void>,
  ): Promise<void> {
    let from = String(place > lookBack ? place - lookBack : 0n);
    while (!signal.aborted) {
      const page = await memoriesChangedSince(this.#acting, from, signal);
      for (const row of page) await use(row);
      const last = page.at(-1);
      if (last === undefined) return;
      from = last.seq;
    }
  }

  async #tellOnce(row: PlacedMemory, change: MemoryChange): Promise<void> {
    // That a newer one has taken its place is told by that one.
    if (this.#remember(row) && row.memory.superseded_by === null) await this.#tell(row.memory, change);
  }

  /** Whether it is new to us. */
  #remember({ memory, seq }: PlacedMemory): boolean {
    const place = /^\d+$/.test(seq) ? BigInt(seq) : 0n;
    if (place > this.#newest) this.#newest = place;
    const key = `${memory.version} ${memory.id}`;
    if (this.#told.has(key)) return false;
    this.#told.add(key);
    for (const oldest of this.#told) {
      if (this.#told.size <= mostRemembered) break;
      this.#told.delete(oldest);
    }
    return true;
  }
}

function placed(row: unknown): PlacedMemory {
  return { memory: parseMemory(row), seq: String(isRecord(row) ? row["seq"] : "") };
}
