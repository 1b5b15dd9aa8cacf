import { isObject } from "../codec/message.ts";
import { isSafePresenceKey } from "../presence/presence.ts";
import { joinReasons } from "./texts.ts";

/** What a `phx_join` asks for, checked and complete. */
export interface JoinParameters {
  readonly broadcast: { readonly ack: boolean; readonly self: boolean; readonly replicationReady: boolean };
  readonly replay: Replay | undefined;
  /** `key` is undefined where the server is to make one up. */
  readonly presence: { readonly enabled: boolean; readonly key: string | undefined };
  readonly postgresChanges: readonly PostgresChangesEntry[];
  /** How long the reply waits until rows are subscribed to; undefined is not at all. */
  readonly waitForRowsMs: number | undefined;
  /** Row changes come as clients before 2.0 know them: events by name, bare data. */
  readonly namesRowEvents: boolean;
  readonly isPrivate: boolean;
  /** Undefined: the channel speaks with the key of its socket. */
  readonly token: string | undefined;
}

export type Replay =
  | { readonly kind: "valid"; readonly sinceMs: number; readonly limit: number }
  | { readonly kind: "invalid" };

/** As the client sent it: the reply repeats it unchanged beside its id, and the client compares. */
export type PostgresChangesEntry = Readonly<Record<string, unknown>>;

export type ParsedJoin = { readonly parameters: JoinParameters } | { readonly refusal: string };

/**
 * A field of the wrong type takes its default and its siblings keep their values, as real servers have it. Refused is
 * what would give the client something weaker than it asked for, or harm others.
 */
export function parseJoin(subTopic: string, payload: unknown): ParsedJoin {
  if (!isObject(payload))
    return refuse(joinReasons.unknown(`expected params to be a :map, got: \`${dump(payload)}\``));
  if (!Object.hasOwn(payload, "config")) return { parameters: legacyJoin(subTopic, payload) };

  const config = payload["config"] ?? {};
  if (!isObject(config)) return refuse(joinReasons.unknown("expected config to be an object"));
  const broadcast = config["broadcast"] ?? {};
  if (!isObject(broadcast)) return refuse(joinReasons.unknown("expected config.broadcast to be an object"));
  const presence = isObject(config["presence"]) ? config["presence"] : {};

  const isPrivate = config["private"] == null ? false : parseBoolean(config["private"]);
  if (isPrivate === undefined) return refuse(joinReasons.privateNotBoolean);
  const key = parsePresenceKey(presence["key"]);
  if (key !== undefined && !isSafePresenceKey(key)) return refuse(joinReasons.presenceKey(key));

  return {
    parameters: {
      broadcast: {
        ack: parseBoolean(broadcast["ack"]) ?? false,
        self: parseBoolean(broadcast["self"]) ?? false,
        replicationReady: parseBoolean(broadcast["replication_ready"]) ?? false,
      },
      replay: parseReplay(broadcast["replay"]),
      presence: { enabled: parseBoolean(presence["enabled"]) ?? false, key },
      postgresChanges: parseEntries(config["postgres_changes"]),
      waitForRowsMs: parseWait(config["postgres_changes_options"]),
      namesRowEvents: false,
      isPrivate,
      token: parseToken(payload),
    },
  };
}

/** `{schema}`, `{schema}:{table}` or `{schema}:{table}:{filter}` in the topic ask for row changes, as clients before 2.0 did. */
function legacyJoin(subTopic: string, payload: Record<string, unknown>): JoinParameters {
  const [schema, table, ...filter] = subTopic.split(":");
  const entry: Record<string, unknown> = { schema };
  if (table !== undefined) entry["table"] = table;
  if (filter.length > 0) entry["filter"] = filter.join(":");
  return {
    broadcast: { ack: false, self: false, replicationReady: false },
    replay: undefined,
    presence: { enabled: false, key: undefined },
    postgresChanges: [entry],
    waitForRowsMs: undefined,
    namesRowEvents: true,
    isPrivate: false,
    token: parseToken(payload),
  };
}

/** True and false, also as text in any case; undefined for anything else. */
function parseBoolean(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  if (typeof value !== "string") return undefined;
  const text = value.toLowerCase();
  return text === "true" ? true : text === "false" ? false : undefined;
}

function parsePresenceKey(value: unknown): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}

function parseEntries(value: unknown): readonly PostgresChangesEntry[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** Source: newer servers; 15 s unless said, 20 s at most. */
function parseWait(value: unknown): number | undefined {
  if (!isObject(value) || parseBoolean(value["wait"]) !== true) return undefined;
  const timeout = value["timeout"];
  return Math.min(20_000, typeof timeout === "number" && timeout > 0 ? timeout : 15_000);
}

function parseReplay(value: unknown): Replay | undefined {
  if (value == null) return undefined;
  if (!isObject(value)) return { kind: "invalid" };
  const { since = 0, limit = 10 } = value;
  if (!Number.isInteger(since) || !Number.isInteger(limit)) return { kind: "invalid" };
  return { kind: "valid", sinceMs: Number(since), limit: Math.min(25, Math.max(1, Number(limit))) };
}

/** Opaque keys (`sb_…`) say nothing that the socket's own key did not say. */
function parseToken(payload: Record<string, unknown>): string | undefined {
  const { user_token: userToken, access_token: accessToken } = payload;
  const token = typeof userToken === "string" ? userToken : accessToken;
  return typeof token === "string" && !token.startsWith("sb_") ? token : undefined;
}

function refuse(refusal: string): ParsedJoin {
  return { refusal };
}

function dump(value: unknown): string {
  return value === null ? "nil" : JSON.stringify(value).slice(0, 100);
}
