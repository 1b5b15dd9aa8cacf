import type { Named } from "../acting.ts";
import type { ResolvedAdapterOptions } from "../adapter-options.ts";
import { LocalSessions } from "../local-sessions.ts";
import type { OnMemory, Subscription } from "../memory-subscription.ts";
import type { StoredMemory } from "../memory.ts";
import type { MemoryFilter, MemoryRow } from "../memory-row.ts";
import type { QuietClock } from "../quiet-clock.ts";
import { LocalTenants, subscribeToWrites } from "./local-tenants.node.ts";
import type {
  MemoryBackend,
  MemoryCounts,
  MemoryTransfer,
  MemoryWrite,
  SearchAnswer,
  SearchQuery,
} from "./memory-backend.ts";
import { storedOf } from "./stored-row.ts";

/**
 * Memories on this machine alone: no project, no key, no network. Tenants and agents are whom calls name; what an agent keeps to itself
 * is returned to calls that name that agent.
 */
export class AgentdbBackend implements MemoryBackend {
  readonly name = "agentdb";
  readonly sync = undefined;
  readonly batch: MemoryBackend["batch"];
  readonly sessions: LocalSessions;
  readonly #options: ResolvedAdapterOptions;
  readonly #clock: QuietClock;
  readonly #tenants: LocalTenants;
  readonly #subscriptions = new Set<Subscription>();

  constructor(options: ResolvedAdapterOptions, clock: QuietClock) {
    this.#options = options;
    // What is checked in one piece and written as one record; more where each waits for the disk, and the next is made ready meanwhile.
    this.batch =
      options.durability === "power"
        ? { maxRows: 250, maxBytes: 10_000_000, mixed: true, mostAtOnce: 4 }
        : { maxRows: 100, maxBytes: 1_000_000, mixed: true };
    this.#clock = clock;
    this.sessions = new LocalSessions(clock);
    this.#tenants = new LocalTenants({
      options,
      clock,
      storeName: () => Promise.resolve("default"),
      home: "local",
      sessionAgent: (tenantId, sessionId) => this.sessions.agentOf(tenantId, sessionId),
      server: undefined,
      isSyncing: false,
      onOpen: () => () => Promise.resolve(),
    });
  }

  async initialize(): Promise<void> {
    await this.#tenants.store();
  }

  async store(writes: readonly MemoryWrite[], signal?: AbortSignal): Promise<readonly StoredMemory[]> {
    const [first] = writes;
    if (first === undefined) return [];
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
    await Promise.all([...this.#subscriptions].map((each) => each.begun));
    const { memories } = await this.#tenants.of(first.memory.tenant_id);
    signal?.throwIfAborted();
    return await memories.write(writes);
  }

  async get(id: string, named: Named): Promise<StoredMemory | undefined> {
    const { memories } = await this.#tenants.of(named.tenantId);
    return memories.get(id, this.#viewer(named));
  }

  async remove(id: string, named: Named): Promise<boolean> {
    const { memories } = await this.#tenants.of(named.tenantId);
    return await memories.remove(id, { viewer: this.#viewer(named), owner: named.agentId });
  }

  async removeWhere(filter: MemoryFilter, named: Named): Promise<number> {
    const { memories } = await this.#tenants.of(named.tenantId);
    return await memories.removeWhere(filter, this.#viewer(named));
  }

  async newest(query: Parameters<MemoryBackend["newest"]>[0], named: Named): Promise<StoredMemory[]> {
    const { memories } = await this.#tenants.of(named.tenantId);
    return await memories.search.newest(query, this.#viewer(named));
  }

  async search(query: SearchQuery, named: Named): Promise<SearchAnswer> {
    const { memories } = await this.#tenants.of(named.tenantId);
    return { matches: await memories.search.search(query, this.#viewer(named)), coverage: "all" };
  }

  async transfer(named: Named): Promise<MemoryTransfer> {
    const { memories } = await this.#tenants.of(named.tenantId);
    return memories.transfer(this.#viewer(named), () => Promise.resolve());
  }

  async counts(tenantId: string | undefined, known: readonly string[]): Promise<MemoryCounts> {
    let memories = 0;
    let sessions = 0;
    const tenants = tenantId === undefined ? known : [tenantId];
    for (const each of tenants) {
      const open = await this.#tenants.of(each);
      memories += await open.memories.search.count(this.#options.agentId);
      sessions += (await this.sessions.active(each)).length;
    }
    return {
      tenant_id: tenants.length === 1 ? tenants[0] : undefined,
      total_memories: memories,
      active_sessions: sessions,
      total_messages: 0,
      open_tasks: 0,
    };
  }

  async cleanup(known: readonly string[]): Promise<number> {
    let removed = 0;
    for (const tenantId of known) {
      const { memories } = await this.#tenants.of(tenantId);
      const nowMs = this.#clock.now();
      removed += await memories.store.cleanup({ nowMs, tombstonesBeforeMs: nowMs }); // nobody else is to learn of them
    }
    return removed;
  }

  subscribe(tenantId: string, onMemory: OnMemory): Subscription {
    const release = this.#clock.hold(); // whoever listens wants to go on listening
    const inner = subscribeToWrites(this.#tenants.of(tenantId), { onMemory, options: this.#options });
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

  async shutdown(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((each) => each.close()));
    await this.#tenants.close();
  }

  #viewer({ agentId, ratherAs }: Named): string {
    return agentId ?? ratherAs ?? this.#options.agentId;
  }
}
