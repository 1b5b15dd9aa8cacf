import { isUtf8 } from "node:buffer";
import { decodeBinaryPush, encodeUserBroadcast } from "./binary.ts";
import { arrayElementText, objectMemberText } from "./json-text.ts";
import {
  isObject,
  isScalar,
  type Broadcast,
  type Message,
  type ProtocolVersion,
  type Push,
  type TextPush,
} from "./message.ts";
import { textFrame, type WireFrame } from "./wire-frame.ts";

/** One protocol version. Pure; `decode` never throws. */
export interface Codec {
  readonly version: ProtocolVersion;
  /** Undefined for what is no message of this version; such a frame is ignored and never answered. */
  decode(data: Buffer, isBinary: boolean): Push | undefined;
  /** The payload of a text push, exactly as the client wrote it. */
  payloadText(push: TextPush): string;
  encode(message: Message): string;
  /** The fan-out frame of a broadcast, or undefined where this version cannot say it. */
  encodeBroadcast(topic: string, broadcast: Broadcast): WireFrame | undefined;
}

/** Objects with `topic`, `event`, `payload`, `ref`; the server leaves `join_ref` out. No binary. */
export const codecV1: Codec = {
  version: "1.0.0",
  decode(data, isBinary) {
    if (isBinary) return undefined;
    const frame = validText(data);
    const message = parse(frame);
    if (frame === undefined || !isObject(message)) return undefined;
    const { topic, event, payload, ref, join_ref: joinRef = null } = message;
    if (!isScalar(topic) || !isScalar(event) || !isScalar(ref) || !isScalar(joinRef)) return undefined;
    if (payload === undefined) return undefined;
    return { kind: "text", joinRef, ref, topic, event, payload, frame };
  },
  payloadText: (push) => objectMemberText(push.frame, "payload") ?? "null",
  encode: ({ ref, event, topic, payloadJson }) =>
    `{"ref":${JSON.stringify(ref)},"event":${JSON.stringify(event)},"topic":${JSON.stringify(topic)},"payload":${payloadJson}}`,
  encodeBroadcast(topic, broadcast) {
    const payloadJson = broadcastText(broadcast);
    if (payloadJson === undefined) return undefined;
    return textFrame(this.encode({ joinRef: null, ref: null, topic, event: "broadcast", payloadJson }));
  },
};

/** Arrays `[join_ref, ref, topic, event, payload]` and the binary kinds 3 and 4. */
export const codecV2: Codec = {
  version: "2.0.0",
  decode(data, isBinary) {
    if (isBinary) return decodeBinaryPush(data);
    const frame = validText(data);
    const message = parse(frame);
    if (frame === undefined || !Array.isArray(message) || message.length < 5) return undefined;
    const [joinRef, ref, topic, event, payload] = message as readonly unknown[]; // an array of something, by the check above
    if (!isScalar(joinRef) || !isScalar(ref) || !isScalar(topic) || !isScalar(event)) return undefined;
    return { kind: "text", joinRef, ref, topic, event, payload, frame };
  },
  payloadText: (push) => arrayElementText(push.frame, 4),
  encode: ({ joinRef, ref, topic, event, payloadJson }) =>
    `[${JSON.stringify(joinRef)},${JSON.stringify(ref)},${JSON.stringify(topic)},${JSON.stringify(event)},${payloadJson}]`,
  encodeBroadcast(topic, broadcast) {
    const binary = broadcast.form === "text" ? undefined : encodeUserBroadcast(topic, broadcast);
    if (binary !== undefined) return binary;
    const payloadJson = broadcastText(broadcast);
    if (payloadJson === undefined) return undefined;
    return textFrame(this.encode({ joinRef: null, ref: null, topic, event: "broadcast", payloadJson }));
  },
};

function broadcastText(broadcast: Broadcast): string | undefined {
  if (broadcast.form === "text") return broadcast.payloadJson;
  if (broadcast.form === "bytes") return undefined;
  const meta = broadcast.metaJson === "" ? "" : `"meta":${broadcast.metaJson},`;
  return `{"event":${JSON.stringify(broadcast.event)},${meta}"payload":${broadcast.payload.toString("utf8")},"type":"broadcast"}`;
}

function validText(data: Buffer): string | undefined {
  return isUtf8(data) ? data.toString("utf8") : undefined;
}

function parse(frame: string | undefined): unknown {
  if (frame === undefined) return undefined;
  try {
    return JSON.parse(frame);
  } catch {
    return undefined;
  }
}
