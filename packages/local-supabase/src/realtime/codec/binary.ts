import { isUtf8 } from "node:buffer";
import type { BinaryPush, Broadcast } from "./message.ts";
import { binaryFrame, type WireFrame } from "./wire-frame.ts";

/*
 * Binary messages of protocol 2.0.0. Lengths are one byte each and count UTF-8 bytes; nothing is padded.
 *   3 client → server  [3, joinRef, ref, topic, userEvent, meta, encoding] joinRef ref topic userEvent meta payload
 *   4 server → client  [4, topic, userEvent, meta, encoding] topic userEvent meta payload
 * Encoding 0 is raw bytes, anything else JSON text. Other kinds are not spoken here: clients cannot read them.
 */
const USER_BROADCAST_PUSH = 3;
const USER_BROADCAST = 4;
const PUSH_HEADER = 7;
const BROADCAST_HEADER = 5;
const LONGEST = 255;

/** Undefined for everything that is not a complete kind 3 message. */
export function decodeBinaryPush(data: Buffer): BinaryPush | undefined {
  if (data.length < PUSH_HEADER || data[0] !== USER_BROADCAST_PUSH) return undefined;
  const [, joinRefSize = 0, refSize = 0, topicSize = 0, eventSize = 0, metaSize = 0, encoding = 0] = data;
  const joinRefEnd = PUSH_HEADER + joinRefSize;
  const refEnd = joinRefEnd + refSize;
  const topicEnd = refEnd + topicSize;
  const eventEnd = topicEnd + eventSize;
  const payloadStart = eventEnd + metaSize;
  if (payloadStart > data.length || !isUtf8(data.subarray(PUSH_HEADER, eventEnd))) return undefined;
  return {
    kind: "binary",
    joinRef: joinRefSize === 0 ? null : data.toString("utf8", PUSH_HEADER, joinRefEnd),
    ref: refSize === 0 ? null : data.toString("utf8", joinRefEnd, refEnd),
    topic: data.toString("utf8", refEnd, topicEnd),
    userEvent: data.toString("utf8", topicEnd, eventEnd),
    isJson: encoding !== 0,
    metaJson: metaSize === 0 ? "" : data.toString("utf8", eventEnd, payloadStart),
    payload: data.subarray(payloadStart),
  };
}

/** Undefined where topic, event or metadata are too long to be said in binary. */
export function encodeUserBroadcast(
  topic: string,
  broadcast: Exclude<Broadcast, { form: "text" }>,
): WireFrame | undefined {
  const { event, metaJson, payload } = broadcast;
  const topicSize = Buffer.byteLength(topic);
  const eventSize = Buffer.byteLength(event);
  const metaSize = Buffer.byteLength(metaJson);
  if (topicSize > LONGEST || eventSize > LONGEST || metaSize > LONGEST) return undefined;
  const size = BROADCAST_HEADER + topicSize + eventSize + metaSize + payload.length;
  return binaryFrame(size, (frame, start) => {
    frame[start] = USER_BROADCAST;
    frame[start + 1] = topicSize;
    frame[start + 2] = eventSize;
    frame[start + 3] = metaSize;
    frame[start + 4] = broadcast.form === "json" ? 1 : 0;
    let at = start + BROADCAST_HEADER;
    at += frame.write(topic, at);
    at += frame.write(event, at);
    at += frame.write(metaJson, at);
    frame.set(payload, at);
  });
}

/** True where the bytes are one JSON value in UTF-8: only then may they be marked, or spliced into text, as JSON. */
export function isJsonBytes(bytes: Buffer): boolean {
  if (!isUtf8(bytes)) return false;
  try {
    JSON.parse(bytes.toString("utf8"));
    return true;
  } catch {
    return false;
  }
}
