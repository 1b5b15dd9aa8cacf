import { isRecord, numberField, stringField } from "../runtime/json.ts";
import { parseStoredMessage, type CoordinationMessage } from "./message.ts";

/** How far a message got. All times are ISO 8601; what is absent has not happened. */
export interface MessageReceipt {
  readonly id: string;
  readonly to_agent?: string;
  readonly type: string;
  readonly stored_at: string;
  /** A process of the recipient has it. */
  readonly delivered_at?: string;
  /** The recipient's handlers have finished, or it was acknowledged. */
  readonly handled_at?: string;
  /** It was given up: a dead letter of the recipient. */
  readonly dead_at?: string;
  readonly delivery_attempt: number;
  /** Of what was said to everybody: how many agents had a session when it was stored, the sender aside. */
  readonly recipients?: number;
  /** How many of those have handled it, as far as they have told; `handled_at` is there once it is all. */
  readonly handled_by?: number;
  /** How many of them have given it up: it lies in their dead letters. `dead_at` is there once all the others have handled it. */
  readonly failed_by?: number;
  /** Why a handler failed last. */
  readonly last_error?: string;
}

/** A message with how far it got. */
export type StoredMessage = CoordinationMessage & MessageReceipt;

export type MessageState = "stored" | "delivered" | "handled";

/** Reads a receipt as announced or answered. Undefined for what is none. */
export function parseReceipt(value: unknown): MessageReceipt | undefined {
  if (!isRecord(value)) return undefined;
  const [id, type, storedAt] = [
    stringField(value, "id"),
    stringField(value, "type"),
    stringField(value, "stored_at"),
  ];
  if (id === undefined || type === undefined || storedAt === undefined) return undefined;
  const texts = ["to_agent", "delivered_at", "handled_at", "dead_at", "last_error"].flatMap((name) => {
    const text = stringField(value, name);
    return text === undefined ? [] : [[name, name.endsWith("_at") ? isoTime(text) : text] as const];
  });
  return {
    id,
    type,
    stored_at: isoTime(storedAt),
    delivery_attempt: numberField(value, "delivery_attempt") ?? 0,
    ...counts(value),
    ...Object.fromEntries(texts),
  };
}

function counts(
  value: Readonly<Record<string, unknown>>,
): Pick<MessageReceipt, "recipients" | "handled_by" | "failed_by"> {
  const [recipients, handled_by] = [numberField(value, "recipients"), numberField(value, "handled_by")];
  if (recipients === undefined || handled_by === undefined) return {};
  return { recipients, handled_by, failed_by: numberField(value, "failed_by") ?? 0 };
}

/** Reads what get_message and list_messages answer. Undefined for what is no message. */
export function parseMessageFacts(value: unknown): StoredMessage | undefined {
  const message = parseStoredMessage(value);
  const receipt = parseReceipt(value);
  return message === undefined || receipt === undefined ? undefined : { ...message, ...receipt };
}

export function hasReached(receipt: MessageReceipt, state: MessageState): boolean {
  if (state === "stored") return true;
  if (receipt.handled_at !== undefined) return true;
  return state === "delivered" && receipt.delivered_at !== undefined;
}

function isoTime(text: string): string {
  return new Date(text).toISOString();
}
