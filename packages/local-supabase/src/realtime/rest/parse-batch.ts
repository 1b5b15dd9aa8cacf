import { arrayElementTexts, objectMemberText } from "../codec/json-text.ts";
import { isObject } from "../codec/message.ts";
import { answerWith, badRequest, type Answer } from "./answer.ts";

export interface BatchMessage {
  readonly subTopic: string;
  readonly isPrivate: boolean;
  /** The whole payload of the broadcast that receivers get, as text. */
  readonly payloadJson: string;
}

export type ParsedBatch = { readonly messages: readonly BatchMessage[] } | { readonly refusal: Answer };

const BLANK = "can't be blank";
const INVALID = "is invalid";
const TOO_LARGE = "Payload size exceeds tenant limit";

/** The body of a batch. One bad message refuses all; the answer has an entry per message, `{}` for the good ones. */
export function parseBatch(body: string, maxPayloadBytes: number): ParsedBatch {
  let parsed: unknown;
  try {
    parsed = body === "" ? {} : JSON.parse(body);
  } catch {
    return { refusal: badRequest };
  }
  const messages = isObject(parsed) ? parsed["messages"] : undefined;
  if (messages == null || (Array.isArray(messages) && messages.length === 0)) return refuse([BLANK]);
  if (!Array.isArray(messages) || !messages.every(isObject)) return refuse([INVALID]);

  const texts = arrayElementTexts(objectMemberText(body, "messages") ?? "[]");
  const payloads = texts.map((text) => objectMemberText(text, "payload") ?? "null");
  const problems = messages.map((message, i) =>
    checkMessage(message, payloads[i] ?? "null", maxPayloadBytes),
  );
  if (problems.some((problem) => Object.keys(problem).length > 0)) return refuse(problems);
  return { messages: messages.map((message, i) => readMessage(message, payloads[i] ?? "null")) };
}

type Problems = Readonly<Record<string, readonly string[]>>;

function checkMessage(
  message: Record<string, unknown>,
  payloadJson: string,
  maxPayloadBytes: number,
): Problems {
  const problems: Record<string, readonly string[]> = {};
  for (const name of ["topic", "event"]) {
    const value = message[name];
    if (value == null || (typeof value === "string" && value.trim() === "")) problems[name] = [BLANK];
    else if (typeof value !== "string") problems[name] = [INVALID];
  }
  const { payload, private: isPrivate, id } = message;
  if (payload == null) problems["payload"] = [BLANK];
  else if (!isObject(payload)) problems["payload"] = [INVALID];
  else if (Buffer.byteLength(payloadJson) > maxPayloadBytes) problems["payload"] = [TOO_LARGE];
  if (isPrivate != null && readBoolean(isPrivate) === undefined) problems["private"] = [INVALID];
  if (id != null && typeof id !== "string") problems["id"] = [INVALID];
  return problems;
}

/** Of a message without problems. */
function readMessage(message: Record<string, unknown>, payload: string): BatchMessage {
  const { topic, event, id, private: isPrivate } = message;
  const meta = typeof id === "string" ? `"meta":${JSON.stringify({ id })},` : "";
  return {
    subTopic: String(topic),
    isPrivate: readBoolean(isPrivate) ?? false,
    payloadJson: `{"event":${JSON.stringify(event)},${meta}"payload":${payload},"type":"broadcast"}`,
  };
}

function readBoolean(value: unknown): boolean | undefined {
  if (value === true || value === "true" || value === "1") return true;
  return value === false || value === "false" || value === "0" ? false : undefined;
}

function refuse(messages: readonly unknown[]): ParsedBatch {
  return { refusal: answerWith(422, { errors: { messages } }) };
}
