import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Credential } from "../../keys/credential.ts";
import type { Verdict, WriteRight } from "../authorization/authorization.ts";
import { TOPIC_PREFIX } from "../channel/join.ts";
import type { Broadcast } from "../codec/message.ts";
import { INVALID_TTL, persistOfQuery } from "../persist/persist.ts";
import type { StoreProblem } from "../persist/store-message.ts";
import type { ServerParts } from "../server-parts.ts";
import { maxPayloadBytes } from "../settings.ts";
import { accepted, answerWith, forbidden, notFound, tooLarge, unauthorized, type Answer } from "./answer.ts";
import { parseBatch } from "./parse-batch.ts";
import { isSingleContentType, parseSingle, parseSinglePath, type SingleAddress } from "./parse-single.ts";

/** A batch may hold several payloads of the largest size; real servers read at most this much. */
const MAX_BODY_BYTES = 8_000_000;

/** Answers a request below `/realtime/v1/api`; `path` is what follows that. Nobody is answered who is gone. */
export async function answerRest(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  server: ServerParts,
): Promise<void> {
  const { status, contentType, body } = await findAnswer(request, path, server);
  if (response.destroyed) return;
  const type = contentType === undefined ? {} : { "content-type": contentType };
  // Whoever sends more than is read cannot use the connection for another request.
  const connection = request.complete ? {} : { connection: "close" };
  response.writeHead(status, { ...type, ...connection, "content-length": Buffer.byteLength(body) }).end(body);
}

async function findAnswer(request: IncomingMessage, path: string, server: ServerParts): Promise<Answer> {
  const single = request.method === "POST" ? parseSinglePath(path) : undefined;
  const isBatch = request.method === "POST" && path === "/broadcast";
  const isPing = request.method === "GET" && path === "/ping";
  if (single === undefined && !isBatch && !isPing) return notFound;
  if (single !== undefined && !isSingleContentType(contentTypeOf(request))) {
    const error = "Unsupported Media Type. Use application/json or application/octet-stream";
    return answerWith(415, { error });
  }
  const token = tokenOf(request);
  const verified = token === undefined ? undefined : await server.keyring.verify(token);
  if (verified === undefined || "problem" in verified) return unauthorized;
  if (isPing) return answerWith(200, { message: "Success" });

  const body = await readBody(request);
  if (body === undefined) return tooLarge;
  const caller = new Caller(request, verified.credential, server);
  return single === undefined
    ? await sendBatch(
        contentTypeOf(request) === "application/json" ? body.toString("utf8") : "",
        caller,
        server,
      )
    : await sendSingle(single, request, body, caller, server);
}

/** Messages that the caller may not send are left out, and the answer does not tell. */
async function sendBatch(body: string, caller: Caller, server: ServerParts): Promise<Answer> {
  const parsed = parseBatch(body, maxPayloadBytes(server.settings));
  if ("refusal" in parsed) return parsed.refusal;
  const refusal = server.limits?.refuseSend(parsed.messages.length);
  if (refusal !== undefined) return answerWith(429, { message: refusal });
  for (const { subTopic, isPrivate, payloadJson } of parsed.messages) {
    if (isPrivate && (await caller.may("broadcast", subTopic)) !== "allowed") continue;
    send(server, subTopic, isPrivate, { form: "text", payloadJson });
  }
  return accepted;
}

async function sendSingle(
  { subTopic, event }: SingleAddress,
  request: IncomingMessage,
  body: Buffer,
  caller: Caller,
  server: ServerParts,
): Promise<Answer> {
  const query = new URLSearchParams((request.url ?? "").split("?", 2)[1]);
  const persist = persistOfQuery(query);
  if (persist === INVALID_TTL)
    return answerWith(422, { message: "persist[ttl] must be a whole number of seconds from 1 to 259200" });
  const parsed = parseSingle(event, contentTypeOf(request), body, maxPayloadBytes(server.settings));
  if ("refusal" in parsed) return parsed.refusal;
  const refusal = server.limits?.refuseSend(1);
  if (refusal !== undefined) return answerWith(429, { message: refusal });
  const isPrivate = query.get("private") === "true";
  if (persist !== undefined && !isPrivate)
    return answerWith(422, { message: "Only messages of private channels can be persisted" });
  const rights: readonly WriteRight[] = persist === undefined ? ["broadcast"] : ["broadcast", "persistence"];
  for (const right of isPrivate ? rights : []) {
    const verdict = await caller.may(right, subTopic);
    if (verdict === "denied") return forbidden;
    if (verdict === "failed") return answerWith(422, { message: "RLS policy error" });
  }
  const { broadcast } = parsed;
  if (persist === undefined) {
    send(server, subTopic, isPrivate, broadcast);
    return accepted;
  }
  const id = randomUUID();
  const problem = await server.storeMessage({ id, subTopic, broadcast, persist });
  if (problem !== undefined) return answerWith(422, { message: storeProblems[problem] });
  send(server, subTopic, isPrivate, { ...broadcast, metaJson: JSON.stringify({ id }) });
  return accepted;
}

const storeProblems: Readonly<Record<StoreProblem, string>> = {
  query_canceled: "Query canceled",
  missing_partition: "Missing messages partition",
  invalid_payload: "The payload cannot be stored as jsonb",
  unable_to_connect_to_project: "Tenant database unavailable",
};

function send(server: ServerParts, subTopic: string, isPrivate: boolean, broadcast: Broadcast): void {
  server.metrics.broadcastsFromRest++;
  server.limits?.countSent();
  server.rooms.find(TOPIC_PREFIX + subTopic, isPrivate)?.broadcast(broadcast);
}

/** Who sends; a right is asked for once per topic of a request. */
class Caller {
  readonly #credential: Credential;
  readonly #headers: Record<string, string>;
  readonly #server: ServerParts;
  readonly #verdicts = new Map<string, Promise<Verdict>>();

  constructor(request: IncomingMessage, credential: Credential, server: ServerParts) {
    this.#credential = credential;
    this.#headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    this.#server = server;
  }

  may(right: WriteRight, subTopic: string): Promise<Verdict> {
    const asker = { subTopic, credential: this.#credential, headers: this.#headers };
    const key = `${right} ${subTopic}`;
    const verdict = this.#verdicts.get(key) ?? this.#server.authorization.mayWrite(asker, right);
    this.#verdicts.set(key, verdict);
    return verdict;
  }
}

/** `Authorization: Bearer …` or, where there is no such header, `apikey`. */
function tokenOf(request: IncomingMessage): string | undefined {
  const { authorization, apikey } = request.headers;
  if (authorization === undefined) return typeof apikey === "string" ? apikey : undefined;
  return /^bearer\s+(.+)$/i.exec(authorization)?.[1];
}

function contentTypeOf(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** Undefined where it is longer than anybody may send, or the client went away. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // Kept open when we stop early: the refusal still has to go out. Chunks are buffers, since no encoding was set.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) return undefined;
      chunks.push(chunk);
    }
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks, size);
}
