import { isId } from "../config/ids.ts";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, isUnstorable, numberField, stringField, toJson } from "../runtime/json.ts";

/** A message as a handler gets it. */
export interface CoordinationMessage<Type extends string = string, Payload = unknown> {
  /** Made by the sender; the same for every delivery of the same message. */
  readonly id: string;
  readonly from_agent: string;
  /** Absent for what was sent to everybody. */
  readonly to_agent?: string;
  readonly type: Type;
  readonly payload: Payload;
  /** ISO 8601. */
  readonly timestamp: string;
  /** Whether the database vouches for `from_agent`. False for a broadcast over the socket: any member of the tenant can write those. */
  readonly verified: boolean;
  /** The message that this one answers. */
  readonly reply_to?: string;
  readonly correlation_id?: string;
  /** How many messages led to this one. */
  readonly hop_count: number;
  readonly sender_seq?: number;
  readonly traceparent?: string;
  /** ISO 8601: from then on it is not delivered any more. */
  readonly expires_at?: string;
  /** In a handler: which delivery this is, from 1. */
  readonly delivery_attempt?: number;
  /** Its position among all changes of the tenant. */
  readonly seq?: number;
}

/** A message in a listener's hands. */
export type ReceivedMessage<Type extends string = string, Payload = unknown> = CoordinationMessage<
  Type,
  Payload
> & {
  /** Sends the answer to this message to whoever sent it; once: a second answer changes nothing. Resolves to the answer as stored. */
  reply(payload: unknown): Promise<CoordinationMessage>;
  /** It is handled. Needed where a listener was added with `{ ack: "manual" }`; elsewhere that its handlers finish says so. */
  ack(): void;
};

/** Reads a message as announced or as a row of the table. Undefined for what is not one. */
export function parseStoredMessage(value: unknown): CoordinationMessage | undefined {
  if (!isRecord(value)) return undefined;
  const id = stringField(value, "id");
  const { from_agent } = value;
  const type = stringField(value, "type");
  const timestamp = stringField(value, "timestamp") ?? stringField(value, "created_at");
  if (id === undefined || !isId(from_agent) || type === undefined || timestamp === undefined)
    return undefined;
  return {
    id,
    from_agent,
    ...optional("to_agent", isId(value["to_agent"]) ? value["to_agent"] : undefined),
    type,
    payload: value["payload"] ?? null,
    timestamp: isoTime(timestamp),
    verified: true,
    hop_count: numberField(value, "hop_count") ?? 0,
    ...optional("reply_to", stringField(value, "reply_to")),
    ...optional("correlation_id", stringField(value, "correlation_id")),
    ...optional("sender_seq", numberField(value, "sender_seq")),
    ...optional("traceparent", stringField(value, "traceparent")),
    ...optional("expires_at", isoTimeOf(value, "expires_at")),
    ...optional("delivery_attempt", numberField(value, "delivery_attempt")),
    ...optional("seq", numberField(value, "seq")),
  };
}

/**
 * What a `message` event of the database carries: `{ message }`, or `{ messages }` where several were stored at once. Undefined where
 * one of them is too large to be carried, `{ id }`, so that they have to be read.
 */
export function parseAnnounced(payload: unknown): readonly CoordinationMessage[] | undefined {
  if (!isRecord(payload)) return undefined;
  const rows: readonly unknown[] = Array.isArray(payload["messages"])
    ? payload["messages"]
    : [payload["message"]];
  const messages = rows.map(parseStoredMessage).filter((message) => message !== undefined);
  return messages.length === rows.length ? messages : undefined;
}

/** What a broadcast over the socket carries. */
export interface BroadcastFrame {
  readonly messages: readonly {
    readonly id: string;
    readonly from_agent: string;
    readonly type: string;
    readonly payload: unknown;
    readonly timestamp: string;
    readonly hop_count?: number;
    readonly traceparent?: string;
  }[];
}

/** The event name of a broadcast frame in the room. */
export const broadcastEvent = "messages";

/**
 * Reads a broadcast frame. What only the database may say is not there: no recipient, no position, no task messages; and nobody is
 * vouched for.
 */
export function parseBroadcastFrame(value: unknown): CoordinationMessage[] {
  if (!isRecord(value) || !Array.isArray(value["messages"])) return [];
  return value["messages"].flatMap((each: unknown) => {
    if (!isRecord(each) || "to_agent" in each || "seq" in each) return [];
    const message = parseStoredMessage(each);
    if (message === undefined || isDatabaseOnly(message.type)) return [];
    const { id, from_agent, type, payload, timestamp, hop_count, traceparent } = message;
    const heard = { id, from_agent, type, payload, timestamp, hop_count, verified: false };
    return [{ ...heard, ...optional("traceparent", traceparent) }];
  });
}

/** Types that are only believed when the database announces them: whoever forges one would hand out or end work. */
export function isDatabaseOnly(type: string): boolean {
  return type.startsWith("task_") || type.startsWith("receipt");
}

/** Returns the type, or throws FederationError "invalid_argument". */
export function requireType(type: unknown): string {
  if (typeof type === "string" && type.length > 0 && type.length <= 128) return type;
  const found = typeof type === "string" ? `${type.length} characters` : String(type);
  throw new FederationError("invalid_argument", `message type: expected 1 to 128 characters, got ${found}`);
}

// What the database takes, as JSON.
const maxPayloadBytes = 1_048_576;

/**
 * The payload as it will arrive; a missing one is null. Throws FederationError "too_large" above 1 MiB, or "invalid_argument" for what
 * JSON cannot carry or Postgres not store.
 */
export function toPayload(
  payload: unknown,
  what = "the payload",
): { readonly value: unknown; readonly sizeBytes: number } {
  const json = toJson(payload === undefined ? null : payload, what);
  if (json.sizeBytes > maxPayloadBytes)
    throw new FederationError(
      "too_large",
      `${what}: ${json.sizeBytes} bytes; a row holds ${maxPayloadBytes}`,
      {
        remedy: "Store it elsewhere, and send where it is",
      },
    );
  if (isUnstorable(json.text))
    throw new FederationError(
      "invalid_argument",
      `${what}: a text in it has a NUL or half a surrogate pair`,
      {
        remedy: "Postgres stores neither: leave them out, or send bytes as base64",
      },
    );
  return json;
}

/**
 * The same messages with each sender's in the order in which it sent them; who comes when stays as it is. Pure. Rows are marked while
 * they wait, which moves them, so the database's order alone is not the senders'.
 */
export function inSenderOrder(messages: readonly CoordinationMessage[]): CoordinationMessage[] {
  const bySender = new Map<string, CoordinationMessage[]>();
  for (const message of messages) {
    const sent = bySender.get(message.from_agent);
    if (sent === undefined) bySender.set(message.from_agent, [message]);
    else sent.push(message);
  }
  for (const sent of bySender.values()) sent.sort((a, b) => sentAt(a) - sentAt(b));
  return messages.map((message) => bySender.get(message.from_agent)?.shift() ?? message);
}

// Messages that a SQL function sent have no number of their own sender; their time is one on the same scale.
function sentAt(message: CoordinationMessage): number {
  return message.sender_seq ?? Date.parse(message.timestamp) * 1000;
}

function isoTimeOf(value: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const text = stringField(value, key);
  return text === undefined ? undefined : isoTime(text);
}

/** 2026-11-23T10:00:00.5+00:00 as 2026-11-23T10:00:00.500Z; what is no time stays as it is. */
function isoTime(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : new Date(ms).toISOString();
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V }); // a computed key widens to string
}
