import type { SupabaseClient } from "@supabase/supabase-js";
import { resolveAccess, type Access, type AccessOptions } from "../config/access.ts";
import { accessOfClient } from "../config/client-access.ts";
import type { Environment } from "../config/environment.ts";
import { requireId } from "../config/ids.ts";
import { systemClock, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { silentLog, type Log } from "../runtime/log.ts";
import { resolveVectorBackend, type VectorBackend } from "./vector-backend.ts";

/** What a caller may pass. Everything may be left out; what is missing comes from the environment or has a default. */
export interface AdapterOptions extends AccessOptions {
  /** Instead of url, keys and token: those of this client, which is left alone. */
  readonly client?: SupabaseClient | undefined;
  /** Where memories are stored and searched. Default: FEDERATION_VECTOR_BACKEND, else `pgvector`. */
  readonly vectorBackend?: VectorBackend | undefined;
  /** Milliseconds between two rounds of the hybrid backend's sync. Default: FEDERATION_SYNC_INTERVAL, else 60000. */
  readonly syncInterval?: number | undefined;
  /** Who acts where a call names no agent and the credential leaves it open (JWT secret). Default `adapter`. */
  readonly agentId?: string | undefined;
  /** Milliseconds between two heartbeats of registered sessions. Default: FEDERATION_HEARTBEAT_INTERVAL, else 30000. */
  readonly presenceHeartbeat?: number | undefined;
  /** Milliseconds that a call may take, retries included. Default 10000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Shuts the adapter down like `shutdown()`. */
  readonly signal?: AbortSignal | undefined;
  readonly log?: Log | undefined;
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
  readonly vectorBackend: "pgvector";
  readonly syncIntervalMs: number;
  readonly agentId: string;
  readonly heartbeatMs: number;
  readonly requestTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly log: Log;
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
    access: () => resolveAccess({ ...taken?.options, ...given }, environment, inBrowser),
    vectorBackend: resolveVectorBackend(options.vectorBackend, environment["FEDERATION_VECTOR_BACKEND"]),
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
    fetch: options.fetch ?? taken?.fetch,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
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
