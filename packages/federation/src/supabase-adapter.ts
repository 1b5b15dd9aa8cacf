import { isBrowser, readEnvironment } from "./config/environment.ts";
import { requireId } from "./config/ids.ts";
import { systemClock } from "./runtime/clock.ts";
import type { Listener, ListenOptions } from "./runtime/emitter.ts";
import { FederationError, toError } from "./runtime/errors.ts";
import { toJson } from "./runtime/json.ts";
import {
  resolveAdapterOptions,
  type AdapterOptions,
  type ResolvedAdapterOptions,
} from "./memory/adapter-options.ts";
import type { AgentSession } from "./memory/agent-session.ts";
import type {
  MemoryBackend,
  MemoryCounts,
  MemoryTransfer,
  SearchAnswer,
  ShutdownOptions,
} from "./memory/backends/memory-backend.ts";
import { loadAgentDbImport, loadFileTransfer } from "./memory/backends/load-node-file.ts";
import { openBackend } from "./memory/backends/open-backend.ts";
import {
  checkEmbedding,
  checkLimit,
  checkMemory,
  checkText,
  maxIdBytes,
  type CheckedMemory,
} from "./memory/check-memory.ts";
import { embedMissing } from "./memory/embed-missing.ts";
import type { MemoryChange } from "./memory/memory-subscription.ts";
import type { AgentMemory, MemoryMatch, StoredMemory } from "./memory/memory.ts";
import type { MemoryFilter } from "./memory/memory-row.ts";
import { quietClock, type QuietClock } from "./memory/quiet-clock.ts";
import { checkFilter, checkSearch, mostFound, type SearchOptions } from "./memory/search-options.ts";
import { storeMany } from "./memory/store-many.ts";
import {
  checkStoreOptions,
  writeOf,
  type BulkStoreOptions,
  type StoreOptions,
  type StoreProgress,
} from "./memory/store-options.ts";
import type { AdapterEvents, AdapterSyncState, RefusedMemory, SyncControl } from "./memory/sync-control.ts";
import type { SyncSummary } from "./memory/sync/sync-state.ts";
import { exportMemories, type ExportOptions } from "./memory/transfer/export-memories.ts";
import type { ExportFileOptions, ExportFileResult } from "./memory/transfer/files.node.ts";
import type { ImportAgentDbOptions, ImportAgentDbResult } from "./memory/transfer/import-agentdb.node.ts";
import { importMemories, type ImportOptions, type ImportResult } from "./memory/transfer/import-memories.ts";
import type { Chunks } from "./memory/transfer/split-lines.ts";
import type { VectorBackend } from "./memory/vector-backend.ts";

export type { AdapterOptions, SupabaseConfig } from "./memory/adapter-options.ts";
export type { AgentSession } from "./memory/agent-session.ts";
export type { SearchAnswer, SearchMode, ShutdownOptions } from "./memory/backends/memory-backend.ts";
export type { Embed, Embedder, EmbedOptions } from "./memory/embed/embed.ts";
export { createEmbedder, type EmbedderOptions } from "./memory/embed/create-embedder.ts";
export { createHttpEmbedder, type HttpEmbedderOptions } from "./memory/embed/create-http-embedder.ts";
export { createHashingEmbedder, type HashingEmbedderOptions } from "./memory/embed/hashing-embedder.ts";
export type { MemoryChange } from "./memory/memory-subscription.ts";
export type { AgentMemory, FoundMemory, MemoryMatch, MemoryScope, StoredMemory } from "./memory/memory.ts";
export type { VectorBackend } from "./memory/vector-backend.ts";
export type { MemoryFilter } from "./memory/memory-row.ts";
export type { ExportOptions } from "./memory/transfer/export-memories.ts";
export type { ImportOptions, ImportProgress, ImportResult } from "./memory/transfer/import-memories.ts";
export type { ExportFileOptions, ExportFileResult } from "./memory/transfer/files.node.ts";
export type {
  AgentDbProblem,
  ImportAgentDbOptions,
  ImportAgentDbProgress,
  ImportAgentDbResult,
} from "./memory/transfer/import-agentdb.node.ts";
export type { SearchOptions } from "./memory/search-options.ts";
export type { BulkStoreOptions, StoreOptions, StoreProgress } from "./memory/store-options.ts";
export type { AdapterEvents, AdapterSyncState, RefusedMemory } from "./memory/sync-control.ts";

export interface AdapterStats extends MemoryCounts {
  readonly total_memories: number;
  /** Sessions that are not ended and were seen within their timeout. These three: null while the hybrid backend cannot reach the server. */
  readonly active_sessions: number | null;
  readonly total_messages: number | null;
  readonly open_tasks: number | null;
  /** `local` under agentdb, which has no project. */
  readonly backend: "supabase" | "local";
  readonly vector_backend: VectorBackend;
  /** ISO 8601. */
  readonly timestamp: string;
}

/** Who is asking, where the credential leaves it open, and how long to wait. */
export interface CallerOptions {
  readonly agent?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Which memories come or go. */
export interface TransferOptions {
  readonly tenant: string;
  /** Who asks, where the credential leaves it open. */
  readonly agent?: string | undefined;
}

/** What `exportMemories` of an adapter takes. */
export interface ExportMemoriesOptions extends ExportOptions, TransferOptions {}

/** What `importMemories` of an adapter takes. */
export interface ImportMemoriesOptions extends ImportOptions, TransferOptions {}

/** Which memories `deleteMemories` deletes: all that are given must hold, and one at least is. */
export interface DeleteFilter extends MemoryFilter {
  readonly tenant: string;
}

/** An adapter for the project of the environment, unless options say otherwise. */
export function createSupabaseAdapter(options: AdapterOptions = {}): SupabaseFederationAdapter {
  return new SupabaseFederationAdapter(options);
}

/**
 * Memories and sessions of tenants: in a Supabase project, on this machine, or both, by `vectorBackend`. Every call names its tenant; what
 * it may do there follows from the credential: an agent's token acts as that agent, the JWT secret or the service role key (servers) for
 * whomever the call names.
 */
export class SupabaseFederationAdapter {
  readonly #options: ResolvedAdapterOptions;
  readonly #clock: QuietClock;
  readonly #opening: Promise<MemoryBackend>;
  #backend: MemoryBackend | undefined;
  /** Tenants that calls have named: what "all" means to a credential that cannot see all. */
  readonly #tenants = new Set<string>();
  #closing: Promise<void> | undefined;

  /** Throws FederationError "unsupported" or "invalid_argument" on options that cannot work; credentials are looked at by `initialize()`. */
  constructor(config: AdapterOptions) {
    const options = resolveAdapterOptions(config, { environment: readEnvironment(), inBrowser: isBrowser() });
    this.#options = options;
    this.#clock = quietClock(options.clock, options.clock === systemClock);
    this.#opening = openBackend(options, this.#clock).then((backend) => (this.#backend = backend));
    this.#opening.catch(() => undefined); // every call rejects with it
    if (options.signal?.aborted) void this.shutdown();
    else options.signal?.addEventListener("abort", () => void this.shutdown(), { once: true });
  }

  /**
   * Resolves when memories can be stored. With a project: when it can be reached, takes the credential and has the schema of this version
   * (the hybrid backend begins without it when the network is away). Creates nothing there.
   */
  async initialize(): Promise<void> {
    await (await this.#use()).initialize();
  }

  /** Stores a memory, or replaces the one with this id, and resolves to it as stored. The other agents are told. */
  async storeMemory(memory: AgentMemory, options: StoreOptions = {}): Promise<StoredMemory> {
    const how = checkStoreOptions(options);
    const checked = this.#checked(memory);
    const backend = await this.#use();
    const [ready = checked] = await this.#embedded([checked], options.signal);
    const [stored] = await backend.store([writeOf(ready, how)], options.signal);
    if (stored === undefined) throw new FederationError("protocol", "storeMemory: no row in the answer");
    return stored;
  }

  /**
   * Stores any number of memories, in batches; resolves to how many. Memories are checked as they come. When one is refused it rejects: the
   * batches before stay stored, as `onProgress` has told, and storing them again changes nothing.
   */
  async storeMemories(
    memories: Iterable<AgentMemory> | AsyncIterable<AgentMemory>,
    options: BulkStoreOptions = {},
  ): Promise<StoreProgress> {
    const parts = {
      backend: await this.#use(),
      check: (memory: unknown) => this.#checked(memory as AgentMemory), // which is what is looked at
      embed: (checked: readonly CheckedMemory[], signal: AbortSignal | undefined) =>
        this.#embedded(checked, signal),
      how: checkStoreOptions(options),
    };
    return await storeMany(memories, parts, options);
  }

  /** A memory by its id, also one that another has superseded; undefined where there is none that the caller may read. */
  async getMemory(
    id: string,
    tenant: string,
    { agent, signal }: CallerOptions = {},
  ): Promise<StoredMemory | undefined> {
    const checkedId = checkText(id, "getMemory id", maxIdBytes, 1);
    const named = this.#caller(tenant, agent, "getMemory");
    signal?.throwIfAborted();
    return await (await this.#use()).get(checkedId, named, signal);
  }

  /**
   * Deletes a memory of the caller's. Resolves to whether there was one. Under the hybrid backend a memory that a later call stores under the id
   * stays, also where this one was not awaited; unless the network is away and the memory is not on this machine: then the deletion is tried
   * once, no write waits for it, and it may come behind a later one.
   */
  async deleteMemory(id: string, tenant: string, { agent, signal }: CallerOptions = {}): Promise<boolean> {
    const checkedId = checkText(id, "deleteMemory id", maxIdBytes, 1);
    const tenantId = this.#named(tenant, "deleteMemory tenant");
    const agentId = agent === undefined ? undefined : requireId(agent, "deleteMemory agent");
    signal?.throwIfAborted();
    return await (await this.#use()).remove(checkedId, { tenantId, agentId }, signal);
  }

  /** Deletes those of the caller's memories that the filter admits (the service role's: everybody's). Resolves to how many. */
  async deleteMemories(
    filter: DeleteFilter,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<number> {
    const { tenant, ...rest } = filter;
    const tenantId = this.#named(tenant, "deleteMemories tenant");
    const checked = checkFilter(rest, "deleteMemories filter");
    if (Object.keys(checked).length === 0) {
      throw new FederationError(
        "invalid_argument",
        "deleteMemories: expected a filter, got none that narrows",
        {
          remedy: "Name an agent, a session, a time or metadata",
        },
      );
    }
    signal?.throwIfAborted();
    return await (await this.#use()).removeWhere(checked, { tenantId, agentId: checked.agent }, signal);
  }

  /** The newest memories of a tenant, or of one agent in it, newest first. */
  async queryMemories(tenant: string, agent?: string, limit = 100): Promise<StoredMemory[]> {
    const named = this.#caller(tenant, agent, "queryMemories");
    const most = checkLimit(limit, "queryMemories limit");
    const filter = named.ratherAs === undefined ? {} : { agent: named.ratherAs };
    return await (await this.#use()).newest({ filter, limit: most }, named);
  }

  /** The memories whose embeddings are nearest, best first; only those of the same dimension and model can be compared. At most 10,000. */
  async semanticSearch(embedding: ArrayLike<number>, tenant: string, limit = 10): Promise<MemoryMatch[]> {
    const vector = checkEmbedding(embedding, "semanticSearch embedding");
    const most = Math.min(checkLimit(limit, "semanticSearch limit"), mostFound);
    const { matches } = await this.search({ tenant, embedding: vector, mode: "meaning", limit: most });
    return matches.map(({ score, similarity, ...memory }) => ({
      ...memory,
      similarity: similarity ?? score,
    }));
  }

  /** Finds memories by meaning, by words, or by both, best first, and tells whether everything of the tenant was looked at. */
  async search(options: SearchOptions): Promise<SearchAnswer> {
    const { embedder } = this.#options;
    const checked = checkSearch(options, embedder !== undefined);
    const named = this.#caller(options.tenant, options.agent ?? checked.filter.agent, "search");
    checked.signal?.throwIfAborted();
    const backend = await this.#use();
    let { embedding, model = embedder?.model } = checked;
    if (embedding === undefined && checked.mode !== "words" && checked.text !== undefined) {
      const [vector = []] = (await embedder?.([checked.text], { signal: checked.signal })) ?? [];
      embedding = checkEmbedding(vector, "the embedding of the search text");
      model = embedder?.model;
    }
    return await backend.search({ ...checked, embedding, model: model ?? null }, named);
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
    return await (await this.#use()).sessions.register(id, owner, sent);
  }

  /** `offline`, `completed`, `failed` and `ended` end the session; any other word is its status from now on. */
  async updateSessionStatus(sessionId: string, status: string): Promise<AgentSession> {
    const id = checkText(sessionId, "updateSessionStatus session", maxIdBytes, 1);
    const word = checkText(status, "updateSessionStatus status", 64, 1);
    return await (await this.#use()).sessions.setStatus(id, word);
  }

  /** Sessions that are not ended and were seen within their timeout, newest first. Under agentdb those of this process. */
  async getActiveSessions(tenant: string): Promise<AgentSession[]> {
    const tenantId = this.#named(tenant, "getActiveSessions tenant");
    return await (await this.#use()).sessions.active(tenantId);
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
    const subscribing = this.#opening.then((backend) => backend.subscribe(tenantId, callback));
    subscribing.catch((error: unknown) =>
      this.#options.log("error", "a memory subscription failed", { error: toError(error) }),
    );
    return () =>
      void subscribing.then(
        (subscription) => subscription.close(),
        () => undefined,
      );
  }

  /**
   * Removes expired memories for good and resolves to how many. Of all tenants with the service role key; of the token's tenant with a
   * token; with the JWT secret, and under agentdb, of the tenants that this adapter's calls have named.
   */
  async cleanupExpiredMemories(): Promise<number> {
    return await (await this.#use()).cleanup([...this.#tenants]);
  }

  /** Of one tenant; without a name, of the tenants that cleanupExpiredMemories() would clean. */
  async getStats(tenant?: string): Promise<AdapterStats> {
    const tenantId = tenant === undefined ? undefined : this.#named(tenant, "getStats tenant");
    const backend = await this.#use();
    return {
      ...(await backend.counts(tenantId, [...this.#tenants])),
      backend: backend.name === "agentdb" ? "local" : "supabase",
      vector_backend: backend.name,
      timestamp: new Date(this.#clock.now()).toISOString(),
    };
  }

  /**
   * Memories of a tenant as JSON Lines, one text a line: what the caller may read, in the order of ids, with everything that is known of
   * them. Made as fast as it is read. `afterId` goes on with an export that was interrupted.
   */
  async *exportMemories({ tenant, agent, ...options }: ExportMemoriesOptions): AsyncGenerator<string, void> {
    const { source } = await this.#transfer(tenant, agent, options.signal);
    yield* exportMemories(source, options);
  }

  /**
   * Stores the memories of an export that are not there, or older there; the same import again changes nothing. They stay their agents',
   * and the caller must be able to act for those. `onProgress` names the line from where an interrupted import goes on (`afterLine`).
   */
  async importMemories(
    chunks: Chunks,
    { tenant, agent, ...options }: ImportMemoriesOptions,
  ): Promise<ImportResult> {
    const { sink } = await this.#transfer(tenant, agent, options.signal);
    return await importMemories(chunks, sink, options);
  }

  /** An export to a file, whole or not there; `existing: "resume"` goes on with one that was interrupted. Node only. */
  async exportMemoriesToFile(
    path: string,
    { tenant, agent, ...options }: ExportFileOptions & TransferOptions,
  ): Promise<ExportFileResult> {
    const { source } = await this.#transfer(tenant, agent, options.signal);
    const { exportMemoriesToFile } = await loadFileTransfer();
    return await exportMemoriesToFile(source, path, options);
  }

  /** An import of such a file. Node only. */
  async importMemoriesFromFile(
    path: string,
    { tenant, agent, ...options }: ImportMemoriesOptions,
  ): Promise<ImportResult> {
    const { sink } = await this.#transfer(tenant, agent, options.signal);
    const { importMemoriesFromFile } = await loadFileTransfer();
    return await importMemoriesFromFile(path, sink, options);
  }

  /** Takes over what a file of agentdb 1.x remembers, as memories of one agent; the same file again adds nothing. Node only. */
  async importAgentDb(
    path: string,
    { tenant, ...options }: ImportAgentDbOptions & { readonly tenant: string },
  ): Promise<ImportAgentDbResult> {
    const { sink } = await this.#transfer(tenant, options.agentId, options.signal);
    const { importAgentDb } = await loadAgentDbImport();
    return await importAgentDb(path, sink, options);
  }

  /** Undefined for backends that have nothing to sync, and before the first call. */
  get syncState(): AdapterSyncState | undefined {
    return this.#backend?.sync?.state;
  }

  /** Listens to the hybrid backend's sync; with the others nothing is ever told. Returns the function that removes the listener. */
  on<K extends keyof AdapterEvents>(
    event: K,
    listener: Listener<AdapterEvents[K]>,
    options: ListenOptions = {},
  ): () => void {
    const stop = new AbortController();
    const signal =
      options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const listen = (backend: MemoryBackend): unknown => backend.sync?.on(event, listener, { signal });
    if (this.#backend !== undefined) listen(this.#backend);
    else void this.#opening.then(listen, () => undefined);
    return () => stop.abort();
  }

  /** Hybrid: brings changes up and down, now, in one tenant or in all that calls have named or that the store has unsent memories of. Rejects with what stopped it. */
  async sync({
    tenant,
    signal,
  }: { readonly tenant?: string; readonly signal?: AbortSignal } = {}): Promise<SyncSummary> {
    const tenantId = tenant === undefined ? undefined : this.#named(tenant, "sync tenant");
    return await (await this.#control("sync")).sync({ tenantId, signal });
  }

  /** Hybrid: changes of this machine that the server refused, oldest first. They wait here until they are retried or dropped. */
  async deadLetters(tenant: string): Promise<readonly RefusedMemory[]> {
    const tenantId = this.#named(tenant, "deadLetters tenant");
    return await (await this.#control("deadLetters")).deadLetters(tenantId);
  }

  /** Sends a refused change again. Resolves to whether there was one at that place. */
  async retryDeadLetter(tenant: string, place: number): Promise<boolean> {
    const tenantId = this.#named(tenant, "retryDeadLetter tenant");
    return await (await this.#control("retryDeadLetter")).retryDeadLetter(tenantId, place);
  }

  /** Forgets a refused change: what the server has stays. Resolves to whether there was one at that place. */
  async dropDeadLetter(tenant: string, place: number): Promise<boolean> {
    const tenantId = this.#named(tenant, "dropDeadLetter tenant");
    return await (await this.#control("dropDeadLetter")).dropDeadLetter(tenantId, place);
  }

  /**
   * Ends subscriptions, heartbeats and connections, and gives the local store back; calls under way reject with "closed". With `drain` the
   * hybrid backend first brings everything to the server that its store has and its credential may bring there, of tenants that only a process
   * before this one named too, however long that takes; without, and where `signal` ends the waiting, the next
   * start goes on with it. Twice returns the same promise.
   */
  shutdown(options: ShutdownOptions = {}): Promise<void> {
    this.#closing ??= this.#opening.then(
      (backend) => backend.shutdown(options),
      () => undefined,
    );
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #use(): Promise<MemoryBackend> {
    if (this.#closing !== undefined) throw new FederationError("closed", "the adapter was shut down");
    return this.#backend ?? (await this.#opening);
  }

  async #control(attempt: string): Promise<SyncControl> {
    const { sync, name } = await this.#use();
    if (sync !== undefined) return sync;
    throw new FederationError(
      "unsupported",
      `${attempt}: the backend ${name} keeps memories in one place only`,
      {
        remedy: "Set FEDERATION_VECTOR_BACKEND to hybrid",
      },
    );
  }

  async #transfer(
    tenant: string,
    agent: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<MemoryTransfer> {
    const named = this.#caller(tenant, agent, "memories");
    return await (await this.#use()).transfer(named, signal);
  }

  #checked(memory: AgentMemory): CheckedMemory {
    const checked = checkMemory(memory);
    this.#tenants.add(checked.tenant_id);
    return checked;
  }

  #named(tenant: string, what: string): string {
    const id = requireId(tenant, what);
    this.#tenants.add(id);
    return id;
  }

  #caller(
    tenant: string,
    agent: string | undefined,
    attempt: string,
  ): { tenantId: string; ratherAs: string | undefined } {
    const tenantId = this.#named(tenant, `${attempt} tenant`);
    return { tenantId, ratherAs: agent === undefined ? undefined : requireId(agent, `${attempt} agent`) };
  }

  #embedded(memories: readonly CheckedMemory[], signal: AbortSignal | undefined): Promise<CheckedMemory[]> {
    return embedMissing(memories, this.#options.embedder, signal);
  }
}
