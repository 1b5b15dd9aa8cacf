import { isJsonBytes } from "../codec/binary.ts";
import { isObject, type Broadcast } from "../codec/message.ts";
import { answerWith, badRequest, type Answer } from "./answer.ts";

export interface SingleAddress {
  readonly subTopic: string;
  readonly event: string;
}

/** `/broadcast/<topic>/events/<event>`, both percent-encoded; undefined for every other path. */
export function parseSinglePath(path: string): SingleAddress | undefined {
  const match = /^\/broadcast\/([^/]+)\/events\/([^/]+)$/.exec(path);
  if (match === null) return undefined;
  const [, topic = "", event = ""] = match;
  try {
    return { subTopic: decodeURIComponent(topic), event: decodeURIComponent(event) };
  } catch {
    return undefined;
  }
}

export type ParsedSingle =
  | { readonly broadcast: Exclude<Broadcast, { form: "text" }> }
  | { readonly refusal: Answer };

export function isSingleContentType(contentType: string): boolean {
  return (
    contentType === "" || contentType === "application/json" || contentType === "application/octet-stream"
  );
}

/** The body is the payload itself. JSON that is no object is wrapped, as the framework of real servers does it. */
export function parseSingle(
  event: string,
  contentType: string,
  body: Buffer,
  maxPayloadBytes: number,
): ParsedSingle {
  if (body.length > maxPayloadBytes) {
    return { refusal: answerWith(422, { errors: { payload: ["Payload size exceeds tenant limit"] } }) };
  }
  if (contentType === "application/octet-stream") {
    return { broadcast: { form: "bytes", event, payload: body, metaJson: "" } };
  }
  if (body.length === 0) return json(event, Buffer.from("{}"));
  if (!isJsonBytes(body)) return { refusal: badRequest };
  const isPlain = isObject(JSON.parse(body.toString("utf8")));
  return json(event, isPlain ? body : Buffer.concat([Buffer.from('{"_json":'), body, Buffer.from("}")]));
}

function json(event: string, payload: Buffer): ParsedSingle {
  return { broadcast: { form: "json", event, payload, metaJson: "" } };
}
