import type { SupabaseClient } from "@supabase/supabase-js";
import { resolveAccess, type Access, type AccessOptions } from "../config/access.ts";
import { accessOfClient } from "../config/client-access.ts";
import type { Environment } from "../config/environment.ts";
import { booleanFrom } from "../config/hub-options.ts";
import { requireId } from "../config/ids.ts";
import { systemClock, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { silentLog, type Log } from "../runtime/log.ts";
import { noTracing, type Tracing } from "../runtime/tracing.ts";
import { describe } from "../runtime/json.ts";
import { checkLimit, checkText, checkTime, maxIdBytes } from "./check-memory.ts";
import { createEmbedder } from "./embed/create-embedder.ts";
import type { Embed, Embedder } from "./embed/embed.ts";
import type { Durability } from "./local/local-store.ts";
import type { SyncFilter } from "./sync/coverage.ts";
import { resolveVectorBackend, type VectorBackend } from "./vector-backend.ts";

/** What a caller may pass. Everything may be left out; what is missing comes from the environment or has a default. */
export interface AdapterOptions extends AccessOptions {
  /** Instead of url, keys and token: those of this client, which is left alone. */
  readonly client?: SupabaseClient | undefined;
  /** Where memories are stored and searched. Default: FEDERATION_VECTOR_BACKEND, else `pgvector`. */
  readonly vectorBackend?: VectorBackend | undefined;
  /** Turns texts into embeddings, for memories and searches that come with text alone. `createHashingEmbedder`, `createHttpEmbedder`, or your own. */
  readonly embed?: Embedder | Embed | undefined;
  /** The name of the model behind `embed`, where the function does not say. Default `custom`. */
  readonly embeddingModel?: string | undefined;
  /** Names the folder of the local store (agentdb, hybrid); one process at a time has it. Default: the agent's id, else `default`. */
  readonly store?: string | undefined;
  /** Where local stores are. Default: FEDERATION_DATA_DIR, else the user's data folder. */
  readonly dataDir?: string | undefined;
  /** What a write to the local store survives when its call has resolved: the end of the `process` (default), or of `power`. */
  readonly durability?: Durability | undefined;
  /** Whether the hybrid backend speaks to the server. Default: FEDERATION_MEMORY_SYNC, else true. */
  readonly memorySync?: boolean | undefined;
  /** Milliseconds after which the hybrid backend looks at the server where no hint came. Default: FEDERATION_SYNC_INTERVAL, else 60000. */
  readonly syncInterval?: number | undefined;
  /** Which memories of others the hybrid backend holds here. Default: all. */
  readonly syncFilter?: SyncFilter | undefined;
  /** How many the hybrid backend holds here; the newest stay. Default 100000. */
  readonly maxLocalMemories?: number | undefined;
  /** Who acts where a call names no agent and the credential leaves it open (JWT secret). Default `adapter`. */
  readonly agentId?: string | undefined;
  /** Milliseconds between two heartbeats of registered sessions. Default: FEDERATION_HEARTBEAT_INTERVAL, else 30000. */
  readonly presenceHeartbeat?: number | undefined;
  /** Milliseconds that a call may take, retries included. Default 10000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Shuts the adapter down like `shutdown()`. */
  readonly signal?: AbortSignal | undefined;
  readonly log?: Log | undefined;
  /** Where spans of syncs go, `openTelemetry()` of `agent-federation/otel`. Default: nowhere. */
  readonly tracing?: Tracing | undefined;
  /** Makes the REST requests. Default: the global fetch. */
  readonly fetch?: typeof fetch | undefined;
  readonly clock?: Clock | undefined;
  /** From 0 up to 1, for jitter. Default: Math.random. */
  readonly random?: (() => number) | undefined;
}

/** The options under the name that the class constructor has always taken. */
export interface SupabaseConfig extends AdapterOptions {
  readonly url: string;
}

/** Complete and read-only. */
export interface ResolvedAdapterOptions {
  /** Throws FederationError "credentials" where there is nothing to prove who one is; first called by `initialize()`. */
  readonly access: () => Access;
  readonly vectorBackend: VectorBackend;
  readonly embedder: Embedder | undefined;
  /** Undefined: whatever the agent is called. */
  readonly store: string | undefined;
  readonly dataDir: string | undefined;
  readonly durability: Durability;
  readonly memorySync: boolean;
  readonly syncIntervalMs: number;
  readonly syncFilter: SyncFilter;
  readonly maxLocalMemories: number;
  readonly agentId: string;
  readonly heartbeatMs: number;
  readonly requestTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly fetch: typeof fetch | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Checks and completes the options. Pure. Throws FederationError. */
export function resolveAdapterOptions(
  options: AdapterOptions,
  { environment, inBrowser }: { readonly environment: Environment; readonly inBrowser: boolean },
): ResolvedAdapterOptions {
  const taken = options.client === undefined ? undefined : accessOfClient(options.client);
  const milliseconds = (
    given: number | undefined,
    name: string,
    setting: string,
    byDefault: number,
  ): number => {
    const value = given ?? environment[setting] ?? byDefault;
    if (Number(value) >= 1 && Number(value) <= 86_400_000) return Number(value);
    const from = given === undefined ? setting : name;
    throw new FederationError("invalid_argument", `${from}: expected 1 to 86400000 ms, got ${value}`);
  };
  const given = withoutUndefined(options);
  return {
    access: once(() => resolveAccess({ ...taken?.options, ...given }, environment, inBrowser)),
    vectorBackend: resolveVectorBackend(
      { option: options.vectorBackend, setting: environment["FEDERATION_VECTOR_BACKEND"] },
      inBrowser,
    ),
    embedder: embedderOf(options),
    store: options.store ?? options.agentId,
    dataDir: options.dataDir ?? environment["FEDERATION_DATA_DIR"],
    durability: durabilityOf(options.durability),
    memorySync: options.memorySync ?? booleanFrom(environment, "FEDERATION_MEMORY_SYNC") ?? true,
    syncFilter: syncFilterOf(options.syncFilter),
    maxLocalMemories: checkLimit(options.maxLocalMemories ?? 100_000, "maxLocalMemories"),
    syncIntervalMs: milliseconds(options.syncInterval, "syncInterval", "FEDERATION_SYNC_INTERVAL", 60_000),
    agentId: requireId(options.agentId ?? "adapter", "agentId"),
    heartbeatMs: milliseconds(
      options.presenceHeartbeat,
      "presenceHeartbeat",
      "FEDERATION_HEARTBEAT_INTERVAL",
      30_000,
    ),
    requestTimeoutMs: milliseconds(options.requestTimeoutMs, "requestTimeoutMs", "", 10_000),
    signal: options.signal,
    log: options.log ?? silentLog,
    tracing: options.tracing ?? noTracing,
    fetch: options.fetch ?? taken?.fetch,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  };
}

/** The same answer each time, once there is one. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function embedderOf({ embed, embeddingModel, clock }: AdapterOptions): Embedder | undefined {
  if (embed === undefined) return undefined;
  if (typeof embed !== "function")
    throw new FederationError("invalid_argument", `embed: expected a function, got ${describe(embed)}`);
  if (isEmbedder(embed)) return embed;
  return createEmbedder({ embed, model: embeddingModel ?? "custom", clock });
}

function isEmbedder(embed: Embedder | Embed): embed is Embedder {
  return "model" in embed && typeof embed.model === "string";
}

function durabilityOf(durability: Durability = "process"): Durability {
  if (durability === "process" || durability === "power") return durability;
  throw new FederationError(
    "invalid_argument",
    `durability: expected process or power, got ${describe(durability)}`,
  );
}

function syncFilterOf({ agents, sessions, since }: SyncFilter = {}): SyncFilter {
  return {
    ...(agents === undefined ? {} : { agents: agents.map((each) => requireId(each, "syncFilter agents")) }),
    ...(sessions === undefined
      ? {}
      : { sessions: sessions.map((each) => checkText(each, "syncFilter sessions", maxIdBytes, 1)) }),
    ...(since === undefined ? {} : { since: checkTime(since, "syncFilter since") }),
  };
}

function withoutUndefined({
  url,
  anonKey,
  serviceRoleKey,
  jwtSecret,
  accessToken,
}: AdapterOptions): AccessOptions {
  const entries = Object.entries({ url, anonKey, serviceRoleKey, jwtSecret, accessToken });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
