import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { STATUS_CODES } from "node:http";
import type { Keyring } from "../../keys/credential.ts";
import { upgradeProblem } from "../channel/texts.ts";
import { codecV1, codecV2, type Codec } from "../codec/codec.ts";

export interface UpgradeRefusal {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: string;
  /** Refusals that say why are held back; that one is not. */
  readonly isDelayed: boolean;
}

export type UpgradeRequest =
  | { readonly codec: Codec; readonly token: string }
  | { readonly refusal: UpgradeRefusal };

/** The checks of an upgrade, in the order in which the first that fails answers. */
export async function checkUpgrade(request: IncomingMessage, keyring: Keyring): Promise<UpgradeRequest> {
  const query = new URLSearchParams((request.url ?? "").split("?", 2)[1]);
  const codec = codecFor(query.get("vsn"));
  if (codec === undefined)
    return { refusal: { status: 403, contentType: undefined, body: "", isDelayed: false } };

  const header = request.headers["x-api-key"];
  const token = (typeof header === "string" ? header : undefined) ?? query.get("apikey");
  if (token === null) return unauthorized(upgradeProblem({ kind: "missing" }));
  const verified = await keyring.verify(token);
  if ("problem" in verified) {
    // An empty key is a key that is no JWT.
    const { problem } = verified;
    return unauthorized(upgradeProblem(problem.kind === "missing" ? { kind: "malformed" } : problem));
  }
  const version = request.headers["sec-websocket-version"];
  if (version !== "13") {
    const body = `'sec-websocket-version' header must equal '13', got ${JSON.stringify(version === undefined ? [] : [version])}`;
    return { refusal: { status: 400, contentType: undefined, body, isDelayed: false } };
  }
  return { codec, token };
}

export function refusalOf(status: number, error: string): UpgradeRefusal {
  return {
    status,
    contentType: "application/json; charset=utf-8",
    body: JSON.stringify({ error }),
    isDelayed: true,
  };
}

/** Answers an upgrade with an ordinary response and ends the connection. */
export function refuseUpgrade(socket: Duplex, { status, contentType, body }: UpgradeRefusal): void {
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "connection: close",
    `content-length: ${Buffer.byteLength(body)}`,
    ...(contentType === undefined ? [] : [`content-type: ${contentType}`]),
  ];
  // Destroyed once it is out: a client that keeps its half open keeps nothing of ours.
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
}

/** What policies may see of a socket's request: the headers that begin with `x-`. */
export function policyHeaders(request: IncomingMessage): Record<string, string> {
  const entries = Object.entries(request.headers).filter(([name]) => name.startsWith("x-"));
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}

function unauthorized(error: string): UpgradeRequest {
  return { refusal: refusalOf(401, error) };
}

function codecFor(vsn: string | null): Codec | undefined {
  if (vsn === null || /^1\.0\.\d+$/.test(vsn)) return codecV1;
  return /^2\.0\.\d+$/.test(vsn) ? codecV2 : undefined;
}
