import { isBrowser, readEnvironment } from "./config/environment.ts";
import { requireId } from "./config/ids.ts";
import { checkSchema } from "./connection/schema-check.ts";
import { systemClock } from "./runtime/clock.ts";
import { FederationError, toError } from "./runtime/errors.ts";
import { isRecord, numberField, toJson } from "./runtime/json.ts";
import { Scope } from "./runtime/scope.ts";
import { ActingFor } from "./memory/acting.ts";
import {
  resolveAdapterOptions,
  type AdapterOptions,
  type ResolvedAdapterOptions,
} from "./memory/adapter-options.ts";
import { parseSession, type AgentSession } from "./memory/agent-session.ts";
import { checkEmbedding, checkLimit, checkMemory, checkText, maxIdBytes } from "./memory/check-memory.ts";
import { subscribeToFeed, type MemoryChange, type Subscription } from "./memory/memory-subscription.ts";
import { parseMemory, type AgentMemory, type MemoryMatch, type StoredMemory } from "./memory/memory.ts";
import { quietClock, type QuietClock } from "./memory/quiet-clock.ts";
import { callPaged, nearestMemories, newestMemories } from "./memory/read-memories.ts";
import { RegisteredSessions } from "./memory/registered-sessions.ts";
import type { VectorBackend } from "./memory/vector-backend.ts";

export type { AdapterOptions, SupabaseConfig } from "./memory/adapter-options.ts";
export type { AgentSession } from "./memory/agent-session.ts";
export type { Embed, Embedder, EmbedOptions } from "./memory/embed/embed.ts";
export { createEmbedder, type EmbedderOptions } from "./memory/embed/create-embedder.ts";
export { createHttpEmbedder, type HttpEmbedderOptions } from "./memory/embed/create-http-embedder.ts";
export { createHashingEmbedder, type HashingEmbedderOptions } from "./memory/embed/hashing-embedder.ts";
export type { MemoryChange } from "./memory/memory-subscription.ts";
export type { AgentMemory, MemoryMatch, MemoryScope, StoredMemory } from "./memory/memory.ts";
export type { VectorBackend } from "./memory/vector-backend.ts";

export interface AdapterStats {
  readonly total_memories: number;
  /** Sessions that are not ended and were seen within their timeout. */
  readonly active_sessions: number;
  readonly total_messages: number;
  readonly open_tasks: number;
  readonly backend: "supabase";
  readonly vector_backend: VectorBackend;
  /** Undefined: all tenants, which only the service role can count. */
  readonly tenant_id: string | undefined;
  /** ISO 8601. */
  readonly timestamp: string;
}

/** An adapter for the project of the environment, unless options say otherwise. */
export function createSupabaseAdapter(options: AdapterOptions = {}): SupabaseFederationAdapter {
  return new SupabaseFederationAdapter(options);
}

/**
 * Memories and sessions of tenants in a Supabase project. Every call names its tenant; what it may do there follows from the
 * credential: an agent's token acts as that agent, the JWT secret or the service role key (servers) for whomever the call names.
 */
export class SupabaseFederationAdapter {
  readonly #options: ResolvedAdapterOptions;
  readonly #clock: QuietClock;
  readonly #actors: ActingFor;
  readonly #scope: Scope;
  readonly #sessions: RegisteredSessions;
  readonly #subscriptions = new Set<Subscription>();
  /** Tenants that calls have named: what "all" means to a credential that cannot see all. */
  readonly #tenants = new Set<string>();
  #closing: Promise<void> | undefined;

  /** Throws FederationError "unsupported" or "invalid_argument" on options that cannot work; credentials are looked at by `initialize()`. */
  constructor(config: AdapterOptions) {
    const options = resolveAdapterOptions(config, { environment: readEnvironment(), inBrowser: isBrowser() });
    this.#options = options;
    this.#clock = quietClock(options.clock, options.clock === systemClock);
    this.#actors = new ActingFor(options, this.#clock);
    this.#scope = new Scope((error) => options.log("error", "an adapter task failed", { error }));
    this.#sessions = new RegisteredSessions({
      actors: this.#actors,
      options,
      clock: this.#clock,
      scope: this.#scope,
    });
    if (options.signal?.aborted) void this.shutdown();
    else options.signal?.addEventListener("abort", () => void this.shutdown(), { once: true });
  }

  /** Verifies that the project can be reached, takes the credential and has the schema of this version. It creates nothing. */
  async initialize(): Promise<void> {
    const self = await this.#actors.self();
    const named = self ?? { tenantId: "default" };
    await this.#actors.run(named, async ({ connection, as }) => {
      const { access, fetch: request = fetch, requestTimeoutMs } = this.#options;
      await checkSchema(connection, access(), request, AbortSignal.timeout(requestTimeoutMs));
      // A wrong service key or secret answers the question above as well; only a real call shows it.
      await connection.callPlain("federation_stats", as);
    });
  }

  /** Stores a memory, or replaces the one with this id, and resolves to it as stored. The other agents are told. */
  async storeMemory(memory: AgentMemory): Promise<StoredMemory> {
    const checked = checkMemory(memory);
    const { tenant_id: tenantId, agent_id: agentId } = checked;
    this.#tenants.add(tenantId);
    // A subscription that was made before this call shall hear of it.
    await Promise.all([...this.#subscriptions].map((each) => each.begun));
    const row = await this.#actors.run({ tenantId, agentId }, ({ connection, as }) =>
      connection.callPlain("store_memory", { memory: checked, ...as }),
    );
    return parseMemory(row);
  }

  /** The newest memories of a tenant, or of one agent in it, newest first. */
  async queryMemories(tenant: string, agent?: string, limit = 100): Promise<StoredMemory[]> {
    const tenantId = this.#named(tenant, "queryMemories tenant");
    const ofAgent = agent === undefined ? undefined : requireId(agent, "queryMemories agent");
    const most = checkLimit(limit, "queryMemories limit");
    return await this.#actors.run({ tenantId, ratherAs: ofAgent }, (acting) =>
      newestMemories(acting, ofAgent, most),
    );
  }

  /** The memories whose embeddings are nearest, best first; only those of the same dimension can be compared. At most 10,000. */
  async semanticSearch(embedding: ArrayLike<number>, tenant: string, limit = 10): Promise<MemoryMatch[]> {
    const vector = checkEmbedding(embedding, "semanticSearch embedding");
    const tenantId = this.#named(tenant, "semanticSearch tenant");
    const most = Math.min(checkLimit(limit, "semanticSearch limit"), 10_000);
    return await this.#actors.run({ tenantId }, (acting) => nearestMemories(acting, vector, most));
  }

  /** Opens a session and keeps it alive until it is ended or this adapter shut down. Registering one's own again reopens it. */
  async registerSession(
    sessionId: string,
    tenantId: string,
    agentId: string,
    metadata?: Readonly<Record<string, unknown>>,
  ): Promise<AgentSession> {
    const owner = {
      tenantId: this.#named(tenantId, "registerSession tenant"),
      agentId: requireId(agentId, "registerSession agent"),
    };
    const id = checkText(sessionId, "registerSession session", maxIdBytes, 1);
    const sent = metadata === undefined ? undefined : toJson(metadata, "registerSession metadata").value;
    return await this.#sessions.register(id, owner, sent);
  }

  /** `offline`, `completed`, `failed` and `ended` end the session; any other word is its status from now on. */
  async updateSessionStatus(sessionId: string, status: string): Promise<AgentSession> {
    const id = checkText(sessionId, "updateSessionStatus session", maxIdBytes, 1);
    return await this.#sessions.setStatus(id, checkText(status, "updateSessionStatus status", 64, 1));
  }

  /** Sessions that are not ended and were seen within their timeout, newest first. */
  async getActiveSessions(tenant: string): Promise<AgentSession[]> {
    const tenantId = this.#named(tenant, "getActiveSessions tenant");
    return await this.#actors.run({ tenantId }, (acting) =>
      callPaged(
        acting,
        "list_sessions",
        {},
        { limit: Infinity, keyOf: (each) => each.session_id, parse: parseSession },
      ),
    );
  }

  /**
   * Calls back for every memory that is stored or changed from now on and that all members may read, also after outages. Returns the
   * function that ends it. A callback that fails is logged and ends nothing.
   */
  subscribeToMemories(
    tenant: string,
    callback: (memory: StoredMemory, change: MemoryChange) => unknown,
  ): () => void {
    if (this.#closing !== undefined)
      throw new FederationError("closed", "subscribeToMemories: the adapter was shut down");
    if (typeof callback !== "function") {
      throw new FederationError(
        "invalid_argument",
        `subscribeToMemories callback: expected a function, got ${typeof callback}`,
      );
    }
    const tenantId = this.#named(tenant, "subscribeToMemories tenant");
    const { begun, close } = subscribeToFeed({
      options: this.#options,
      open: () => this.#actors.open({ tenantId }),
      onMemory: callback,
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
    return () => void subscription.close();
  }

  /**
   * Removes expired memories for good and resolves to how many. Of all tenants with the service role key; of the token's tenant with a
   * token; with the JWT secret of the tenants that this adapter's calls have named.
   */
  async cleanupExpiredMemories(): Promise<number> {
    const all = await this.#actors.runForAll((connection) =>
      connection.callPlain("cleanup_expired_memories", {}),
    );
    if (all !== undefined) return count(all);
    let removed = 0;
    for (const tenantId of await this.#ownTenants()) {
      removed += count(
        await this.#actors.run({ tenantId }, ({ connection, as }) =>
          connection.callPlain("cleanup_expired_memories", as),
        ),
      );
    }
    return removed;
  }

  /** Of one tenant; without a name, of the tenants that cleanupExpiredMemories() would clean. */
  async getStats(tenant?: string): Promise<AdapterStats> {
    if (tenant !== undefined)
      return this.#stats(tenant, [await this.#count(this.#named(tenant, "getStats tenant"))]);
    const all = await this.#actors.runForAll((connection) => connection.callPlain("federation_stats", {}));
    if (all !== undefined) return this.#stats(undefined, [all]);
    const tenants = await this.#ownTenants();
    const counts = await Promise.all(tenants.map((each) => this.#count(each)));
    return this.#stats(tenants.length === 1 ? tenants[0] : undefined, counts);
  }

  /** Ends subscriptions, heartbeats and connections; calls under way reject with "closed". Twice returns the same promise. */
  shutdown(): Promise<void> {
    this.#closing ??= this.#shutdown();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #shutdown(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((each) => each.close()));
    const closed = Promise.all([this.#scope.close(), this.#actors.close()]);
    await closed.catch((error: unknown) =>
      this.#options.log("error", "an adapter did not close", { error: toError(error) }),
    );
  }

  #named(tenant: string, what: string): string {
    const id = requireId(tenant, what);
    this.#tenants.add(id);
    return id;
  }

  async #ownTenants(): Promise<string[]> {
    const self = await this.#actors.self();
    if (self !== undefined) return [self.tenantId];
    return this.#tenants.size === 0 ? ["default"] : [...this.#tenants];
  }

  async #count(tenantId: string): Promise<unknown> {
    return await this.#actors.run({ tenantId }, ({ connection, as }) =>
      connection.callPlain("federation_stats", as),
    );
  }

  #stats(tenant: string | undefined, counts: readonly unknown[]): AdapterStats {
    const sum = (name: string): number =>
      counts.reduce<number>(
        (total, each) => total + ((isRecord(each) ? numberField(each, name) : undefined) ?? 0),
        0,
      );
    return {
      total_memories: sum("total_memories"),
      active_sessions: sum("active_sessions"),
      total_messages: sum("total_messages"),
      open_tasks: sum("open_tasks"),
      backend: "supabase",
      vector_backend: this.#options.vectorBackend,
      tenant_id: tenant,
      timestamp: new Date(this.#clock.now()).toISOString(),
    };
  }
}

function count(value: unknown): number {
  if (typeof value === "number") return value;
  throw new FederationError("protocol", `cleanup_expired_memories: expected a number, found ${typeof value}`);
}
