import type { SupabaseClient } from "@supabase/supabase-js";
import type { Clock } from "../runtime/clock.ts";
import { systemClock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { newId } from "../runtime/ids.ts";
import { silentLog, type Log } from "../runtime/log.ts";
import { noTracing, type Tracing } from "../runtime/tracing.ts";
import { resolveAccess, type Access, type AccessOptions } from "./access.ts";
import { accessOfClient } from "./client-access.ts";
import type { Environment } from "./environment.ts";
import { requireId } from "./ids.ts";

/** What a caller may pass. Everything may be left out; what is missing comes from the environment or has a default. */
export interface HubOptions extends AccessOptions {
  /** Instead of url, keys and token: the URL, key and token of this client. The hub opens a connection of its own and leaves the client alone. */
  readonly client?: SupabaseClient | undefined;
  /** Milliseconds between two heartbeats of the session. Default: FEDERATION_HEARTBEAT_INTERVAL, else 30000. */
  readonly presenceHeartbeat?: number | undefined;
  /** Whether memory events arrive. Default: FEDERATION_MEMORY_SYNC, else true. */
  readonly memorySync?: boolean | undefined;
  /** `low` sends each broadcast at once, `high` collects them for a moment. Default: FEDERATION_BROADCAST_LATENCY, else `low`. */
  readonly broadcastLatency?: "low" | "high" | undefined;
  /** Milliseconds that `initialize()` may take. Default 15000. */
  readonly initializeTimeoutMs?: number | undefined;
  /** Milliseconds that a call may take, retries included. Default 10000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Milliseconds for which an agent that drops is not yet gone. Default 1500. */
  readonly presenceGraceMs?: number | undefined;
  /** From this many agents on, the list of agents comes from the sessions in the database, not from presence. Default 100. */
  readonly rosterThreshold?: number | undefined;
  /** The largest broadcast over the socket, in bytes of JSON. Default 256000, the limit of the Free plan. */
  readonly maxBroadcastBytes?: number | undefined;
  /**
   * The plan's Realtime messages a second, for all hubs of the tenant together; `off` where the server has no such limit. Default:
   * FEDERATION_PLAN_MESSAGES_PER_SECOND, else 100, the limit of the Free plan, and `off` for a server on this machine.
   */
  readonly planMessagesPerSecond?: number | "off" | undefined;
  /**
   * The plan's presence events a second, likewise. Default: FEDERATION_PLAN_PRESENCE_PER_SECOND, else 20, the limit of the Free plan, and
   * `off` for a server on this machine.
   */
  readonly planPresencePerSecond?: number | "off" | undefined;
  /** Milliseconds between two heartbeats of the socket. Default 25000. */
  readonly socketHeartbeatMs?: number | undefined;
  /** This process alone is the agent: its other processes are ended with "replaced", now and by the next one that is exclusive. Default false. */
  readonly exclusive?: boolean | undefined;
  /** Of several processes of this agent, `one` handles each message to it, or, where they ask for it, `all` do. Default `one`. */
  readonly deliverTo?: "one" | "all" | undefined;
  /** How many messages, each sent by the handler of the last, may follow each other. Default 32. */
  readonly maxHops?: number | undefined;
  /** How many messages and broadcasts this process may send a minute. Default 60000. */
  readonly messagesPerMinute?: number | undefined;
  /** After this many deliveries without success a message is a dead letter. Default 5. */
  readonly maxDeliveries?: number | undefined;
  /** Milliseconds of trying after which it is one, too. Default 60000. */
  readonly giveUpAfterMs?: number | undefined;
  /** What this agent can do, for others to see. */
  readonly capabilities?: readonly string[] | undefined;
  /** Anything JSON about this agent, for others to see. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Stops the hub like `shutdown()`. */
  readonly signal?: AbortSignal | undefined;
  readonly log?: Log | undefined;
  /** Where spans of sends, handlers and tasks go, `openTelemetry()` of `agent-federation/otel`. Default: nowhere. */
  readonly tracing?: Tracing | undefined;
  /** Makes the REST requests. Default: the global fetch. */
  readonly fetch?: typeof fetch | undefined;
  readonly clock?: Clock | undefined;
  /** From 0 up to 1, for jitter. Default: Math.random. */
  readonly random?: (() => number) | undefined;
}

/** The options under the name that the class constructor has always taken. */
export interface RealtimeConfig extends HubOptions {
  readonly url: string;
}

/** Complete and read-only. */
export interface ResolvedHubOptions {
  readonly agentId: string;
  readonly tenantId: string;
  /** Which process of the agent this is. */
  readonly instanceId: string;
  readonly sessionId: string;
  /** Where and as whom to connect. Throws FederationError "credentials" when there is no credential to do it with. */
  readonly access: () => Access;
  readonly heartbeatMs: number;
  readonly sessionTimeoutSeconds: number;
  readonly memorySync: boolean;
  readonly broadcastLatency: "low" | "high";
  readonly initializeTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly presenceGraceMs: number;
  readonly rosterThreshold: number;
  readonly maxBroadcastBytes: number;
  /** For the server at this URL; undefined where there is no limit. */
  readonly planMessagesPerSecond: (url: string) => number | undefined;
  readonly planPresencePerSecond: (url: string) => number | undefined;
  readonly socketHeartbeatMs: number;
  readonly exclusive: boolean;
  readonly deliverTo: "one" | "all";
  readonly maxHops: number;
  readonly messagesPerMinute: number;
  readonly maxDeliveries: number;
  readonly giveUpAfterMs: number;
  readonly capabilities: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal | undefined;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly fetch: typeof fetch | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

export interface HubIdentity {
  readonly agentId: string;
  readonly tenantId: string;
}

/** Checks and completes the options. Pure, apart from the two ids it makes. Throws FederationError. */
export function resolveHubOptions(
  identity: HubIdentity,
  options: HubOptions,
  surroundings: { readonly environment: Environment; readonly inBrowser: boolean },
): ResolvedHubOptions {
  const { environment, inBrowser } = surroundings;
  const taken = options.client === undefined ? undefined : accessOfClient(options.client);
  const accessOptions = { ...taken?.options, ...withoutUndefined(options) };
  const heartbeatMs = milliseconds(
    options.presenceHeartbeat ?? numberFrom(environment, "FEDERATION_HEARTBEAT_INTERVAL") ?? 30_000,
    "presenceHeartbeat",
  );
  const instanceId = newId();
  return {
    agentId: requireId(identity.agentId, "agentId"),
    tenantId: requireId(identity.tenantId, "tenantId"),
    instanceId,
    sessionId: instanceId,
    access: () => resolveAccess(accessOptions, environment, inBrowser),
    heartbeatMs,
    // Three missed heartbeats end a session, never sooner than the schema's own default.
    sessionTimeoutSeconds: Math.max(90, Math.ceil((heartbeatMs * 3) / 1000)),
    memorySync: options.memorySync ?? booleanFrom(environment, "FEDERATION_MEMORY_SYNC") ?? true,
    broadcastLatency: oneOf(
      "broadcastLatency",
      ["low", "high"],
      options.broadcastLatency ?? environment["FEDERATION_BROADCAST_LATENCY"] ?? "low",
    ),
    initializeTimeoutMs: milliseconds(options.initializeTimeoutMs ?? 15_000, "initializeTimeoutMs"),
    requestTimeoutMs: milliseconds(options.requestTimeoutMs ?? 10_000, "requestTimeoutMs"),
    presenceGraceMs: milliseconds(options.presenceGraceMs ?? 1_500, "presenceGraceMs"),
    rosterThreshold: positive(options.rosterThreshold ?? 100, "rosterThreshold"),
    maxBroadcastBytes: positive(options.maxBroadcastBytes ?? 256_000, "maxBroadcastBytes"),
    planMessagesPerSecond: planLimit("planMessagesPerSecond", options, environment),
    planPresencePerSecond: planLimit("planPresencePerSecond", options, environment),
    socketHeartbeatMs: milliseconds(options.socketHeartbeatMs ?? 25_000, "socketHeartbeatMs"),
    exclusive: options.exclusive ?? false,
    deliverTo: oneOf("deliverTo", ["one", "all"], options.deliverTo ?? "one"),
    maxHops: positive(options.maxHops ?? 32, "maxHops"),
    messagesPerMinute: positive(options.messagesPerMinute ?? 60_000, "messagesPerMinute"),
    maxDeliveries: positive(options.maxDeliveries ?? 5, "maxDeliveries"),
    giveUpAfterMs: milliseconds(options.giveUpAfterMs ?? 60_000, "giveUpAfterMs"),
    capabilities: [...(options.capabilities ?? [])],
    metadata: { ...options.metadata },
    signal: options.signal,
    log: options.log ?? silentLog,
    tracing: options.tracing ?? noTracing,
    fetch: options.fetch ?? taken?.fetch,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  };
}

// The variables, and the figures of the Free plan.
const planLimits = {
  planMessagesPerSecond: { variable: "FEDERATION_PLAN_MESSAGES_PER_SECOND", free: 100 },
  planPresencePerSecond: { variable: "FEDERATION_PLAN_PRESENCE_PER_SECOND", free: 20 },
} as const;

function planLimit(
  option: keyof typeof planLimits,
  options: HubOptions,
  environment: Environment,
): (url: string) => number | undefined {
  const { variable, free } = planLimits[option];
  const name = options[option] === undefined ? variable : option;
  const given = options[option] ?? environment[variable];
  if (given === undefined) return (url) => (isThisMachine(url) ? undefined : free);
  if (given === "off") return () => undefined;
  const limit = typeof given === "number" || /^\d+$/.test(given) ? Number(given) : Number.NaN;
  if (Number.isInteger(limit) && limit >= 1) return () => limit;
  throw new FederationError(
    "invalid_argument",
    `${name}: expected off or a whole number above 0, got ${JSON.stringify(given)}`,
  );
}

function isThisMachine(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
}

function withoutUndefined(options: HubOptions): AccessOptions {
  const { url, anonKey, serviceRoleKey, jwtSecret, accessToken } = options;
  const entries = Object.entries({ url, anonKey, serviceRoleKey, jwtSecret, accessToken });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function milliseconds(value: number, name: string): number {
  if (Number.isFinite(value) && value >= 1 && value <= 86_400_000) return value;
  throw new FederationError("invalid_argument", `${name}: expected 1 to 86400000 ms, got ${value}`);
}

function positive(value: number, name: string): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new FederationError("invalid_argument", `${name}: expected a whole number above 0, got ${value}`);
}

function oneOf<Word extends string>(name: string, words: readonly Word[], value: string): Word {
  const word = words.find((known) => known === value);
  if (word !== undefined) return word;
  throw new FederationError(
    "invalid_argument",
    `${name}: expected ${words.join(" or ")}, got ${JSON.stringify(value)}`,
  );
}

function numberFrom(environment: Environment, name: string): number | undefined {
  const text = environment[name];
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new FederationError(
    "invalid_argument",
    `${name}: expected milliseconds as a whole number, got ${JSON.stringify(text)}`,
  );
}

export function booleanFrom(environment: Environment, name: string): boolean | undefined {
  const text = environment[name]?.toLowerCase();
  if (text === undefined) return undefined;
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw new FederationError(
    "invalid_argument",
    `${name}: expected true or false, got ${JSON.stringify(text)}`,
  );
}
