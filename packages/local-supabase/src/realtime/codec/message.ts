/** Refs and topics are echoed with the JSON type they came with. */
export type Scalar = string | number | boolean | null;

/** A push in its text form. `frame` is the whole frame as it came, so that its payload can be forwarded untouched. */
export interface TextPush {
  readonly kind: "text";
  readonly joinRef: Scalar;
  readonly ref: Scalar;
  readonly topic: Scalar;
  readonly event: Scalar;
  readonly payload: unknown;
  readonly frame: string;
}

/** A broadcast in its binary form (kind 3). `payload` shares memory with the frame. */
export interface BinaryPush {
  readonly kind: "binary";
  readonly joinRef: string | null;
  readonly ref: string | null;
  readonly topic: string;
  readonly userEvent: string;
  readonly isJson: boolean;
  /** The client's, whatever it is; empty where there is none. Never forwarded. */
  readonly metaJson: string;
  readonly payload: Buffer;
}

export type Push = TextPush | BinaryPush;

/** What the server says. `payloadJson` is spliced in as it is and must be valid JSON. */
export interface Message {
  readonly joinRef: Scalar;
  readonly ref: Scalar;
  readonly topic: Scalar;
  readonly event: string;
  readonly payloadJson: string;
}

/**
 * What receivers of a broadcast get.
 * `text`: the payload object that a client pushed as text or that the batch endpoint built.
 * `json`, `bytes`: an event and its payload apart; binary frames on 2.0.0. Bytes cannot be said on 1.0.0.
 */
export type Broadcast =
  | { readonly form: "text"; readonly payloadJson: string }
  | { readonly form: "json"; readonly event: string; readonly payload: Buffer; readonly metaJson: string }
  | { readonly form: "bytes"; readonly event: string; readonly payload: Buffer; readonly metaJson: string };

export type ProtocolVersion = "1.0.0" | "2.0.0";

export function isScalar(value: unknown): value is Scalar {
  return (
    value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean"
  );
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
