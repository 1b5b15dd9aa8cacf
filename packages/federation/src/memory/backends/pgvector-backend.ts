import { retrying } from "../../connection/retry.ts";
import { checkSchema } from "../../connection/schema-check.ts";
import { FederationError, toError } from "../../runtime/errors.ts";
import { isRecord, numberField } from "../../runtime/json.ts";
import { Scope } from "../../runtime/scope.ts";
import { ActingFor, type Named } from "../acting.ts";
import type { ResolvedAdapterOptions } from "../adapter-options.ts";
import { subscribeToFeed, type OnMemory, type Subscription } from "../memory-subscription.ts";
import { parseFound, parseMemory, type StoredMemory } from "../memory.ts";
import type { MemoryFilter } from "../memory-row.ts";
import type { QuietClock } from "../quiet-clock.ts";
import { callPaged, idsAfter, newestMemories } from "../read-memories.ts";
import { RegisteredSessions } from "../registered-sessions.ts";
import { RestSyncServer } from "../sync/rest-sync-server.ts";
import type {
  MemoryBackend,
  MemoryCounts,
  MemoryTransfer,
  MemoryWrite,
  SearchAnswer,
  SearchQuery,
} from "./memory-backend.ts";
import { serverTransfer } from "./server-transfer.ts";

/** Memories in the database, every call a request to it. */
export class PgvectorBackend implements MemoryBackend {
  readonly name = "pgvector";
  readonly sync = undefined;
  readonly batch = { maxRows: 500, maxBytes: 1_000_000 };
  readonly sessions: RegisteredSessions;
  readonly actors: ActingFor;
  readonly #options: ResolvedAdapterOptions;
  readonly #clock: QuietClock;
  readonly #scope: Scope;
  readonly #canRetry: () => boolean;
  readonly #subscriptions = new Set<Subscription>();

  /** `canRetry`: whether a call that meets no server tries again for as long as it may take. Default: it does. */
  constructor(options: ResolvedAdapterOptions, clock: QuietClock, canRetry: () => boolean = () => true) {
    this.#options = options;
    this.#canRetry = canRetry;
    this.#clock = clock;
    this.actors = new ActingFor(options, clock);
    this.#scope = new Scope((error) => options.log("error", "an adapter task failed", { error }));
    this.sessions = new RegisteredSessions({ actors: this.actors, options, clock, scope: this.#scope });
  }

  async initialize(): Promise<void> {
    const self = await this.actors.self();
    const named = self ?? { tenantId: "default" };
    await this.actors.run(named, async ({ connection, as }) => {
      const { access, fetch: request = fetch, requestTimeoutMs } = this.#options;
      await checkSchema(connection, access(), request, AbortSignal.timeout(requestTimeoutMs));
      // A wrong service key or secret answers the question above as well; only a real call shows it.
      await connection.callPlain("federation_stats", as);
    });
  }

  async store(writes: readonly MemoryWrite[], signal?: AbortSignal): Promise<readonly StoredMemory[]> {
    const [first, ...others] = writes;
    if (first === undefined) return [];
    const { tenant_id: tenantId, agent_id: agentId } = first.memory;
    // A subscription that was made before this call shall hear of it.
    await Promise.all([...this.#subscriptions].map((each) => each.begun));
    // Where an answer was lost, a second try would take what the first one stored for another's version.
    const retry = writes.every(({ ifVersion }) => ifVersion === undefined);
    const call = (name: string, args: Readonly<Record<string, unknown>>): Promise<unknown> =>
      this.actors.run({ tenantId, agentId }, ({ connection, as }) =>
        connection.callPlain(name, { ...args, ...as }, { signal, retry }),
      );
    if (others.length === 0) return [parseMemory(await call("store_memory", { memory: wireOf(first) }))];
    const rows = await call("store_memories", { memories: writes.map(wireOf) });
    if (!Array.isArray(rows) || rows.length !== writes.length) {
      throw new FederationError("protocol", `store_memories: expected ${writes.length} rows in the answer`);
    }
    return rows.map(parseMemory);
  }

  async storeBatch(writes: readonly MemoryWrite[], signal?: AbortSignal): Promise<readonly string[]> {
    return (await this.store(writes, signal)).map(({ id }) => id);
  }

  /** As replicas read it: `get_memory` passes over superseded ones. */
  async get(id: string, named: Named, signal?: AbortSignal): Promise<StoredMemory | undefined> {
    const rows = await this.actors.run(named, ({ connection, as }) =>
      connection.callPlain("read_memories", { ids: [id], ...as }, { signal, retry: this.#canRetry() }),
    );
    const row: unknown = Array.isArray(rows) ? rows[0] : undefined;
    const isLiving = isRecord(row) && row["deleted_at"] === null; // which an expired one has as well
    return isLiving ? parseMemory(row) : undefined;
  }

  async remove(id: string, named: Named, signal?: AbortSignal): Promise<boolean> {
    const removed = await this.actors.run(await this.#ownerOf(id, named, signal), ({ connection, as }) =>
      connection.callPlain("delete_memory", { id, ...as }, { signal, retry: this.#canRetry() }),
    );
    return removed === true;
  }

  async removeWhere(filter: MemoryFilter, named: Named, signal?: AbortSignal): Promise<number> {
    const removed = await this.actors.run(named, ({ connection, as }) =>
      connection.callPlain("delete_memories", { filter, ...as }, { signal, retry: this.#canRetry() }),
    );
    return numberOf(removed, "delete_memories");
  }

  async newest(
    query: {
      readonly filter: MemoryFilter;
      readonly limit: number;
      readonly signal?: AbortSignal | undefined;
    },
    named: Named,
  ): Promise<StoredMemory[]> {
    return await this.actors.run(named, (acting) => newestMemories(acting, query.filter, query));
  }

  async search(query: SearchQuery, named: Named): Promise<SearchAnswer> {
    const { mode, text, embedding, model, filter, limit, minSimilarity, signal } = query;
    const asked = {
      mode,
      filter,
      limit,
      ...(text === undefined ? {} : { text }),
      ...(embedding === undefined ? {} : { embedding: Array.from(embedding), embedding_model: model }),
      ...(minSimilarity === undefined ? {} : { min_similarity: minSimilarity }),
    };
    const matches = await this.actors.run(named, (acting) =>
      callPaged(
        acting,
        "find_memories",
        { query: asked },
        { limit, keyOf: (match) => match.id, parse: parseFound, signal },
      ),
    );
    return { matches, coverage: "all" };
  }

  async transfer(named: Named, signal?: AbortSignal): Promise<MemoryTransfer> {
    await this.actors.speaker(named);
    const { clock, random, requestTimeoutMs: timeoutMs, agentId } = this.#options;
    const ratherAs = named.agentId ?? named.ratherAs ?? agentId;
    const server = new RestSyncServer({ acting: this.actors, tenantId: named.tenantId, agentId: ratherAs });
    const plan = { attempt: "transfer memories", clock, random, timeoutMs, signal };
    return serverTransfer({
      ids: (afterId) =>
        this.actors.run({ ...named, ratherAs }, (acting) => idsAfter(acting, afterId, signal)),
      read: (ids) => retrying((inner) => server.read(ids, inner), plan),
      push: (rows) => retrying((inner) => server.push(rows, inner), plan),
    });
  }

  async counts(tenantId: string | undefined, known: readonly string[]): Promise<MemoryCounts> {
    if (tenantId !== undefined) return countsOf(tenantId, [await this.#stats(tenantId)]);
    const all = await this.actors.runForAll((connection) =>
      connection.callPlain("federation_stats", {}, { retry: this.#canRetry() }),
    );
    if (all !== undefined) return countsOf(undefined, [all]);
    const tenants = await this.#ownTenants(known);
    const stats = await Promise.all(tenants.map((each) => this.#stats(each)));
    return countsOf(tenants.length === 1 ? tenants[0] : undefined, stats);
  }

  async cleanup(known: readonly string[]): Promise<number> {
    const name = "cleanup_expired_memories";
    const options = { retry: this.#canRetry() };
    const all = await this.actors.runForAll((connection) => connection.callPlain(name, {}, options));
    if (all !== undefined) return numberOf(all, name);
    let removed = 0;
    for (const tenantId of await this.#ownTenants(known)) {
      const ofTenant = await this.actors.run({ tenantId }, ({ connection, as }) =>
        connection.callPlain(name, as, options),
      );
      removed += numberOf(ofTenant, name);
    }
    return removed;
  }

  subscribe(tenantId: string, onMemory: OnMemory): Subscription {
    const { begun, close } = subscribeToFeed({
      options: this.#options,
      open: () => this.actors.open({ tenantId }),
      onMemory,
    });
    const release = this.#clock.hold(); // whoever listens wants to go on listening
    const subscription: Subscription = {
      begun,
      close: async () => {
        release();
        await close();
        this.#subscriptions.delete(subscription);
      },
    };
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async shutdown(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((each) => each.close()));
    const closed = Promise.all([this.#scope.close(), this.actors.close()]);
    await closed.catch((error: unknown) =>
      this.#options.log("error", "an adapter did not close", { error: toError(error) }),
    );
  }

  /** Where the credential may act for anybody and the call names nobody: the memory's own agent, if its memory can be seen. */
  async #ownerOf(id: string, named: Named, signal: AbortSignal | undefined): Promise<Named> {
    if (named.agentId !== undefined || !this.actors.actsForAnybody) return named;
    const memory = await this.get(id, named, signal);
    return memory === undefined ? named : { ...named, agentId: memory.agent_id };
  }

  async #ownTenants(known: readonly string[]): Promise<readonly string[]> {
    const self = await this.actors.self();
    if (self !== undefined) return [self.tenantId];
    return known.length === 0 ? ["default"] : known;
  }

  async #stats(tenantId: string): Promise<unknown> {
    return await this.actors.run({ tenantId }, ({ connection, as }) =>
      connection.callPlain("federation_stats", as, { retry: this.#canRetry() }),
    );
  }
}

/** As store_memory takes it: the text of a vector is parsed several times faster than an array. */
function wireOf({
  memory,
  ifVersion,
  ttlSeconds,
  skipIdentical,
}: MemoryWrite): Readonly<Record<string, unknown>> {
  return {
    ...memory,
    ...(memory.embedding === undefined ? {} : { embedding: JSON.stringify(Array.from(memory.embedding)) }),
    ...(ifVersion === undefined ? {} : { if_version: ifVersion }),
    ...(ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds }),
    ...(skipIdentical === undefined ? {} : { skip_identical: skipIdentical }),
  };
}

function countsOf(tenantId: string | undefined, stats: readonly unknown[]): MemoryCounts {
  const sum = (name: string): number =>
    stats.reduce<number>(
      (total, each) => total + ((isRecord(each) ? numberField(each, name) : undefined) ?? 0),
      0,
    );
  return {
    tenant_id: tenantId,
    total_memories: sum("total_memories"),
    active_sessions: sum("active_sessions"),
    total_messages: sum("total_messages"),
    open_tasks: sum("open_tasks"),
  };
}

function numberOf(value: unknown, attempt: string): number {
  if (typeof value === "number") return value;
  throw new FederationError("protocol", `${attempt}: expected a number, found ${typeof value}`);
}
