import type { IncomingMessage, ServerResponse } from "node:http";
import type { Keyring } from "../keys/credential.ts";
import type { Rest } from "../rest/rest.ts";
import { admit } from "./gateway.ts";
import { readBody } from "./read-body.ts";
import { sendJson } from "./send-json.ts";

export interface RestDoor {
  readonly keyring: Keyring;
  readonly rest: Rest;
  /** What follows `/rest/v1`, without the query. */
  readonly path: string;
  readonly query: string;
}

const maxBodyBytes = 100 * 1024 * 1024;

/** A request below `/rest/v1`: who asks is settled before its body is read. */
export async function answerRest(
  request: IncomingMessage,
  response: ServerResponse,
  door: RestDoor,
): Promise<void> {
  const { keyring, rest, path } = door;
  const apikey = header(request, "apikey") ?? new URLSearchParams(door.query).get("apikey") ?? undefined;
  const admission = await admit({ apikey, authorization: request.headers.authorization }, keyring);
  if ("refusal" in admission) {
    sendJson(response, 401, admission.refusal.body, { ...admission.refusal.headers, ...closing(request) });
    return;
  }
  const body = await readBody(request, maxBodyBytes);
  if (body === undefined) {
    const message = `The request is larger than ${maxBodyBytes} bytes`;
    sendJson(response, 413, { message, code: "413", details: null, hint: null }, closing(request));
    return;
  }
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const asked = {
    method: request.method ?? "GET",
    path: path === "" ? "/" : path,
    query: withoutKey(door.query),
    headers: headersOf(request),
    body,
    credential: admission.credential,
  };
  const answer = await rest.answer(asked, gone.signal);
  if (response.destroyed) return;
  const hasNoBody = request.method === "HEAD" || answer.status === 204 || answer.status === 304;
  const length = hasNoBody ? {} : { "content-length": Buffer.byteLength(answer.body) };
  response.writeHead(answer.status, { ...answer.headers, ...length });
  response.end(hasNoBody ? undefined : answer.body);
}

/** Whoever sends more than is read cannot use the connection for another request. */
function closing(request: IncomingMessage): Record<string, string> {
  return request.complete ? {} : { connection: "close" };
}

/** The key as a parameter is the gateway's; PostgREST would take it for a filter. */
function withoutKey(query: string): string {
  if (!query.includes("apikey=")) return query;
  return query
    .split("&")
    .filter((part) => !part.startsWith("apikey="))
    .join("&");
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function headersOf(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return headers;
}
