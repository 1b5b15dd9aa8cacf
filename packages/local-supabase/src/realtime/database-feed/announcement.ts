import { isJsonBytes } from "../codec/binary.ts";
import { isObject, type Broadcast } from "../codec/message.ts";

/** A committed row of `realtime.messages`, as far as receivers are concerned. */
export interface StoredMessage {
  readonly subTopic: string;
  readonly isPrivate: boolean;
  readonly broadcast: Broadcast;
}

/** What the trigger on `realtime.messages` says of a row: all of it, or where it is. */
export type Announcement =
  | { readonly kind: "row"; readonly message: StoredMessage }
  | { readonly kind: "reference"; readonly id: string; readonly insertedAt: string };

/** The columns of a row as text, as the announcement and the query for large rows both give them. */
export interface RowText {
  readonly id: unknown;
  readonly topic: unknown;
  readonly event: unknown;
  readonly isPrivate: unknown;
  /** The text of the jsonb. */
  readonly payload: unknown;
  /** Base64. */
  readonly binaryPayload: unknown;
}

/** Undefined for what is no announcement, and for rows that nobody is to receive. */
export function parseAnnouncement(text: string): Announcement | undefined {
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch {
    return undefined; // anybody may NOTIFY
  }
  if (!isObject(row) || typeof row["id"] !== "string" || typeof row["inserted_at"] !== "string")
    return undefined;
  if (!Object.hasOwn(row, "topic"))
    return { kind: "reference", id: row["id"], insertedAt: row["inserted_at"] };
  const { id, topic, event, private: isPrivate, payload, binary_payload: binaryPayload } = row;
  const message = storedMessage({ id, topic, event, isPrivate, payload, binaryPayload });
  return message === undefined ? undefined : { kind: "row", message };
}

/** A row needs an id, a topic, an event, a privacy and one payload; one that lacks any of them reaches nobody. */
export function storedMessage(row: RowText): StoredMessage | undefined {
  const { id, topic, event, isPrivate, payload, binaryPayload } = row;
  if (typeof id !== "string" || typeof topic !== "string" || typeof event !== "string") return undefined;
  if (typeof isPrivate !== "boolean") return undefined;
  const metaJson = JSON.stringify({ id });
  if (typeof payload === "string") {
    const bytes = Buffer.from(payload);
    if (!isJsonBytes(bytes)) return undefined;
    return { subTopic: topic, isPrivate, broadcast: { form: "json", event, payload: bytes, metaJson } };
  }
  if (typeof binaryPayload === "string") {
    const bytes = Buffer.from(binaryPayload, "base64");
    return { subTopic: topic, isPrivate, broadcast: { form: "bytes", event, payload: bytes, metaJson } };
  }
  return undefined;
}
