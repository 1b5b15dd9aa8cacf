import { Emitter } from "../../runtime/emitter.ts";
import { FederationError, isFederationError, isRetryable, toError } from "../../runtime/errors.ts";
import type { Named } from "../acting.ts";
import type { ResolvedAdapterOptions } from "../adapter-options.ts";
import type { OnMemory, Subscription } from "../memory-subscription.ts";
import type { StoredMemory } from "../memory.ts";
import type { MemoryFilter, MemoryRow } from "../memory-row.ts";
import type { QuietClock } from "../quiet-clock.ts";
import type { AdapterEvents } from "../sync-control.ts";
import { RestSyncServer } from "../sync/rest-sync-server.ts";
import { RetryAfterFetch } from "../sync/retry-after.ts";
import type { Sessions } from "../sessions.ts";
import type { TransferMemory } from "../transfer/transfer-memory.ts";
import { listenForHints } from "./hint-channels.ts";
import { HybridSync } from "./hybrid-sync.ts";
import type { LocalMemories, Removal } from "./local-memories.node.ts";
import { callInTurn, LocalTenants, subscribeToWrites, type OpenTenant } from "./local-tenants.node.ts";
import type {
  MemoryBackend,
  MemoryCounts,
  MemoryTransfer,
  MemoryWrite,
  SearchAnswer,
  SearchQuery,
  ShutdownOptions,
} from "./memory-backend.ts";
import { mergeAnswers } from "./merge-answers.ts";
import { PgvectorBackend } from "./pgvector-backend.ts";
import { storedOf } from "./stored-row.ts";
import type { Viewer } from "./viewer.ts";

/** How long the tombstones of a replica stay: as long as the database keeps its own. */
const tombstonesMs = 30 * 24 * 3_600_000;

/**
 * Memories on this machine and in the database: written and read here, brought up and down in the background. A call resolves when what it
 * did is durable here; what is not on the server yet goes there by and by, after a restart if need be.
 */
export class HybridBackend implements MemoryBackend {
  readonly name = "hybrid";
  readonly batch = { maxRows: 1_000, maxBytes: 16_000_000 };
  readonly sync: HybridSync;
  readonly sessions: Sessions;
  readonly #options: ResolvedAdapterOptions;
  readonly #clock: QuietClock;
  readonly #remote: PgvectorBackend;
  readonly #tenants: LocalTenants;
  readonly #subscriptions = new Set<Subscription>();

  constructor(options: ResolvedAdapterOptions, clock: QuietClock) {
    const retryAfter = new RetryAfterFetch(options.fetch ?? fetch, clock);
    const withRetryAfter: ResolvedAdapterOptions = { ...options, fetch: retryAfter.fetch };
    this.#options = options;
    this.#clock = clock;
    // The sync knows whether anybody is there: while nobody is, one try is enough.
    this.#remote = new PgvectorBackend(withRetryAfter, clock, () => !this.#isAway());
    this.sessions = this.#remote.sessions;
    const emitter = new Emitter<AdapterEvents>((error, event) =>
      options.log("error", "a listener of the adapter failed", { event, error: toError(error) }),
    );
    this.#tenants = new LocalTenants({
      options,
      clock,
      storeName: async () => (await this.#remote.actors.self())?.agentId ?? "default",
      home: options.access().url,
      sessionAgent: (tenantId, sessionId) => this.#remote.sessions.agentOf(tenantId, sessionId),
      server: (tenantId) =>
        new RestSyncServer({
          acting: this.#remote.actors,
          tenantId,
          agentId: options.agentId,
          retryAfterMs: () => retryAfter.retryAfterMs(),
        }),
      isSyncing: options.memorySync,
      onOpen: (tenant) => {
        this.sync.follow(tenant);
        return options.memorySync ? this.#listen(tenant) : () => Promise.resolve();
      },
    });
    this.sync = new HybridSync({
      opened: () => this.#tenants.opened,
      openPending: () => this.#openPending(),
      open: async (tenantId) => {
        await this.#speaker({ tenantId });
        return await this.#tenants.of(tenantId);
      },
      emitter,
    });
  }

  /**
   * The network may be away: then this process begins with what is here. A project that refuses us is an error at once. What a process
   * before this one left unsent goes on its way.
   */
  async initialize(): Promise<void> {
    await this.#tenants.store();
    if (!this.#options.memorySync) return;
    await this.#remote.initialize().catch((error: unknown) => {
      if (!isRetryable(error)) throw error;
      this.#options.log("info", "the project does not answer; memories are kept here until it does", {
        error,
      });
    });
    await this.#openPending();
  }

  /** Tenants of which something waits to be sent, where this credential may send it: the others wait for one that may. */
  async #openPending(): Promise<void> {
    if (!this.#options.memorySync) return;
    const isOpen = (tenantId: string): boolean =>
      this.#tenants.opened.some((each) => each.tenantId === tenantId);
    for (const tenantId of await this.#tenants.pending()) {
      if (isOpen(tenantId)) continue;
      try {
        // Not `#speaker`, which believes what a call names: nobody has named this one.
        await this.#remote.actors.speaker({ tenantId });
        await this.#tenants.of(tenantId);
      } catch (error) {
        this.#options.log("info", "memories of a tenant wait to be sent", { tenantId, error });
      }
    }
  }

  async store(writes: readonly MemoryWrite[], signal?: AbortSignal): Promise<readonly StoredMemory[]> {
    const [first] = writes;
    if (first === undefined) return [];
    const isConditional = first.ifVersion !== undefined && writes.length === 1; // there are no others
    if (isConditional && this.#options.memorySync) return [await this.#writeThere(first, signal)];
    const rows = await this.#write(first, writes, signal);
    return rows.map((row) => storedOf(row, first.memory.tenant_id));
  }

  async storeBatch(writes: readonly MemoryWrite[], signal?: AbortSignal): Promise<readonly string[]> {
    const [first] = writes;
    return first === undefined ? [] : (await this.#write(first, writes, signal)).map(({ id }) => id);
  }

  async #write(
    first: MemoryWrite,
    writes: readonly MemoryWrite[],
    signal: AbortSignal | undefined,
  ): Promise<readonly MemoryRow[]> {
    const memories = await this.#openFor(first, signal);
    return await memories.write(writes);
  }

  /** Two machines may know the same version of a memory and both be right: the server decides, or nobody. */
  async #writeThere(write: MemoryWrite, signal: AbortSignal | undefined): Promise<StoredMemory> {
    const memories = await this.#openFor(write, signal);
    const store = async (asked: MemoryWrite): Promise<StoredMemory> => {
      const [stored] = await this.#remote.store([asked], signal);
      if (stored === undefined) throw new FederationError("protocol", "store_memory: no row in the answer");
      return stored;
    };
    return await memories.writeThere(write, store, signal);
  }

  async #openFor({ memory }: MemoryWrite, signal: AbortSignal | undefined): Promise<LocalMemories> {
    const { tenant_id: tenantId, agent_id: agentId } = memory;
    await this.#speaker({ tenantId, agentId });
    if (this.#subscriptions.size > 0) await Promise.all([...this.#subscriptions].map((each) => each.begun));
    const { memories } = await this.#tenants.of(tenantId);
    signal?.throwIfAborted();
    return memories;
  }

  async get(id: string, named: Named, signal?: AbortSignal): Promise<StoredMemory | undefined> {
    const viewer = await this.#speaker(named);
    const { memories, engine } = await this.#tenants.of(named.tenantId);
    const held = memories.store.get(id);
    // What is not here may be on the server, where this machine does not hold everything.
    if (held === undefined && this.#options.memorySync && engine.coverage() !== "all")
      return await this.#remote.get(id, named, signal);
    return memories.get(id, viewer);
  }

  async remove(id: string, named: Named, signal?: AbortSignal): Promise<boolean> {
    const viewer = await this.#speaker(named);
    const { memories, engine } = await this.#tenants.of(named.tenantId);
    const owner = named.agentId ?? (this.#remote.actors.actsForAnybody ? undefined : viewer);
    const removeThere = async (): Promise<boolean> => {
      const isRemoved = await this.#remote.remove(id, named, signal);
      // What is stored under this id from now on is to be later than that.
      if (isRemoved) await engine.takeIn([id]).catch(() => engine.hint());
      return isRemoved;
    };
    const elsewhere = (): ReturnType<NonNullable<Removal["elsewhere"]>> =>
      this.#options.memorySync && engine.coverage() !== "all"
        ? { answer: removeThere(), isAway: this.#isAway() }
        : undefined;
    return await memories.remove(id, { viewer, owner, elsewhere });
  }

  /** Here, and on the server what is not here, where this machine does not hold everything. */
  async removeWhere(filter: MemoryFilter, named: Named, signal?: AbortSignal): Promise<number> {
    const viewer = await this.#speaker(named);
    const { memories, engine } = await this.#tenants.of(named.tenantId);
    const coverage = engine.coverage(filter);
    const removed = await memories.removeWhere(filter, viewer);
    if (coverage === "all" || !this.#options.memorySync) return removed;
    // What was removed here is pushed first, so that the server does not count it again.
    await engine.sync({ signal });
    return removed + (await this.#remote.removeWhere(filter, named, signal));
  }

  async newest(query: Parameters<MemoryBackend["newest"]>[0], named: Named): Promise<StoredMemory[]> {
    const viewer = await this.#speaker(named);
    const { memories } = await this.#tenants.of(named.tenantId);
    return await memories.search.newest(query, viewer);
  }

  async search(query: SearchQuery, named: Named): Promise<SearchAnswer> {
    const viewer = await this.#speaker(named);
    const { memories, engine } = await this.#tenants.of(named.tenantId);
    const coverage = engine.coverage(query.filter);
    const matches = await memories.search.search(query, viewer);
    if (query.coverage !== "all" || coverage === "all" || !this.#options.memorySync)
      return { matches, coverage };
    const remote = await this.#remote.search(query, named);
    const here = { matches, find: (id: string) => memories.store.get(id) };
    return { matches: mergeAnswers(here, remote.matches, query), coverage: "all" };
  }

  /** Written here. Read here where everything is here, else from the server, once it has what was only here. */
  async transfer(named: Named, signal?: AbortSignal): Promise<MemoryTransfer> {
    const viewer = await this.#speaker(named);
    const { tenantId } = named;
    const { memories, engine } = await this.#tenants.of(tenantId);
    const allow = async (agentId: string): Promise<void> => void (await this.#speaker({ tenantId, agentId }));
    const here = memories.transfer(viewer, allow);
    const remote = this.#remote;
    const isComplete = (): boolean => !this.#options.memorySync || engine.coverage() === "all";
    async function* rows(options?: { readonly afterId?: string }): AsyncGenerator<TransferMemory> {
      if (isComplete()) return yield* here.source.rows(options);
      await engine.drain({ signal });
      const { source } = await remote.transfer(named, signal);
      yield* source.rows(options);
    }
    return { source: { rows }, sink: here.sink };
  }

  /**
   * Memories as they are here where everything is here, else as many as the server has or, where that is more, as are here and not all there
   * yet. What only the server knows is null while it cannot be reached.
   */
  async counts(tenantId: string | undefined, known: readonly string[]): Promise<MemoryCounts> {
    const remote = await this.#remoteCounts(tenantId, known);
    const tenants = tenantId === undefined ? known : [tenantId];
    let memories = 0;
    let isAll = true;
    for (const each of tenants) {
      const viewer = await this.#speaker({ tenantId: each });
      const open = await this.#tenants.of(each);
      memories += await open.memories.search.count(viewer);
      if (this.#options.memorySync && open.engine.coverage() !== "all") isAll = false;
    }
    const ofTenant = tenants.length === 1 ? tenants[0] : undefined;
    const unknown = { active_sessions: null, total_messages: null, open_tasks: null };
    if (remote === undefined) return { tenant_id: ofTenant, total_memories: memories, ...unknown };
    const isSame = ofTenant !== undefined && remote.tenant_id === ofTenant;
    if (isSame && isAll) return { ...remote, total_memories: memories };
    return { ...remote, total_memories: Math.max(remote.total_memories, memories) };
  }

  async cleanup(known: readonly string[]): Promise<number> {
    let here = 0;
    for (const tenantId of known) {
      await this.#speaker({ tenantId });
      const { memories, engine } = await this.#tenants.of(tenantId);
      const nowMs = engine.nowMs();
      here += await memories.store.cleanup({ nowMs, tombstonesBeforeMs: nowMs - tombstonesMs });
    }
    if (!this.#options.memorySync) return here;
    try {
      return await this.#remote.cleanup(known);
    } catch (error) {
      if (!isRetryable(error)) throw error;
      return here; // the server's turn comes with the next clean-up
    }
  }

  subscribe(tenantId: string, onMemory: OnMemory): Subscription {
    const release = this.#clock.hold(); // whoever listens wants to go on listening
    const opening = this.#speaker({ tenantId }).then(() => this.#tenants.of(tenantId));
    const parts = { onMemory, options: this.#options };
    const inner = this.#options.memorySync
      ? this.#subscribeToSync(opening, parts)
      : subscribeToWrites(opening, parts);
    const subscription: Subscription = {
      begun: inner.begun,
      close: async () => {
        release();
        await inner.close();
        this.#subscriptions.delete(subscription);
      },
    };
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async shutdown({ drain = false, signal }: ShutdownOptions): Promise<void> {
    const [outcome] = await Promise.allSettled([drain ? this.#drain(signal) : undefined]);
    await Promise.all([...this.#subscriptions].map((each) => each.close()));
    await this.#tenants.close();
    await this.#remote.shutdown();
    if (outcome.status === "rejected") throw toError(outcome.reason);
  }

  async #drain(signal: AbortSignal | undefined): Promise<void> {
    await this.#openPending();
    await Promise.all(this.#tenants.opened.map(({ engine }) => engine.drain({ signal })));
  }

  /** In the order of the server, own memories too, when they are there. */
  #subscribeToSync(
    opening: Promise<OpenTenant>,
    { onMemory, options }: { readonly onMemory: OnMemory; readonly options: ResolvedAdapterOptions },
  ): Subscription {
    const inTurn = callInTurn(onMemory, options);
    const stop = new AbortController();
    const begun = opening.then(
      ({ engine, tenantId }) =>
        void engine.on(
          "changes",
          ({ changes }) => {
            for (const { change, row } of changes) {
              if (change === "deleted" || row.scope !== "tenant" || row.superseded_by !== null) continue;
              inTurn.call(storedOf(row, tenantId), change);
            }
          },
          { signal: stop.signal },
        ),
      (error: unknown) => options.log("error", "a memory subscription failed", { error: toError(error) }),
    );
    return {
      begun,
      close: async () => {
        stop.abort();
        inTurn.stop();
      },
    };
  }

  #isAway(): boolean {
    return this.#tenants.opened.some(({ engine }) => {
      const { isOnline, lastError } = engine.state;
      return !isOnline && lastError !== undefined;
    });
  }

  #listen({ tenantId, engine }: OpenTenant): () => Promise<void> {
    return listenForHints({
      options: this.#options,
      open: () => this.#remote.actors.open({ tenantId }),
      onHint: () => engine.hint(),
    });
  }

  async #remoteCounts(
    tenantId: string | undefined,
    known: readonly string[],
  ): Promise<MemoryCounts | undefined> {
    try {
      return await this.#remote.counts(tenantId, known);
    } catch (error) {
      if (isRetryable(error)) return undefined;
      throw error;
    }
  }

  /**
   * For whom the call speaks. Where the credential is a callback that cannot be asked, the network being away, whom the call names is
   * believed: the server looks again at whatever reaches it.
   */
  async #speaker(named: Named): Promise<Viewer> {
    try {
      return (await this.#remote.actors.speaker(named)).agentId;
    } catch (error) {
      const isAway = isRetryable(error) || !isFederationError(error);
      if (!isAway || this.#options.access().credential.kind !== "callback") throw error;
      return named.agentId ?? named.ratherAs ?? this.#options.agentId;
    }
  }
}
