import type { Codec } from "../codec/codec.ts";
import type { Broadcast, Scalar } from "../codec/message.ts";
import { textFrame, type WireFrame } from "../codec/wire-frame.ts";

/** A stored broadcast told again: JSON as text that names its channel, bytes in binary; both say `replayed`. */
export function replayedFrame(
  codec: Codec,
  channel: { readonly topic: string; readonly joinRef: Scalar },
  broadcast: Broadcast,
): WireFrame | undefined {
  if (broadcast.form === "text") return undefined; // nothing of this form is stored
  const { event, payload } = broadcast;
  const metaJson = `${broadcast.metaJson.slice(0, -1)},"replayed":true}`;
  if (broadcast.form === "bytes") return codec.encodeBroadcast(channel.topic, { ...broadcast, metaJson });
  const payloadJson = `{"event":${JSON.stringify(event)},"meta":${metaJson},"payload":${payload.toString("utf8")},"type":"broadcast"}`;
  return textFrame(
    codec.encode({
      topic: channel.topic,
      joinRef: channel.joinRef,
      ref: null,
      event: "broadcast",
      payloadJson,
    }),
  );
}
