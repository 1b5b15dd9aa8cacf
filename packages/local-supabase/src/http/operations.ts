import type { IncomingMessage, ServerResponse } from "node:http";
import type { Keyring } from "../keys/credential.ts";
import type { Realtime } from "../realtime/realtime.ts";
import type { Rest } from "../rest/rest.ts";
import { sendJson } from "./send-json.ts";

interface Services {
  readonly keyring: Keyring;
  readonly rest: Rest;
  readonly realtime: Realtime;
}

/** A part that has not answered by then does not work. */
const healthTimeoutMs = 5000;

/** `/health`: whether database, REST and Realtime work, each asked for something small. 503 where one does not. */
export async function answerHealth(response: ServerResponse, { rest, realtime }: Services): Promise<void> {
  const root = rest.answer({
    method: "GET",
    path: "/",
    query: "",
    headers: {},
    body: "",
    credential: { role: "anon", claims: { role: "anon" }, expiresAtSeconds: undefined },
  });
  const [database, restWorks] = await Promise.all([
    works(realtime.askDatabase()),
    works(root.then(({ status }) => status < 500)),
  ]);
  const realtimeWorks = database && realtime.isServing;
  const say = (isWorking: boolean): string => (isWorking ? "ok" : "failed");
  const isHealthy = database && restWorks && realtimeWorks;
  sendJson(response, isHealthy ? 200 : 503, {
    status: say(isHealthy),
    database: say(database),
    rest: say(restWorks),
    realtime: say(realtimeWorks),
  });
}

/** `/metrics`. Beyond this machine it is for the service role alone. */
export async function answerMetrics(
  request: IncomingMessage,
  response: ServerResponse,
  { keyring, realtime, isLoopback }: Services & { readonly isLoopback: boolean },
): Promise<void> {
  if (!isLoopback && !(await isServiceRole(request, keyring))) {
    sendJson(response, 401, {
      message: "Metrics need the service role key, as Authorization: Bearer or apikey",
    });
    return;
  }
  response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  response.end(realtime.metrics());
}

async function isServiceRole(request: IncomingMessage, keyring: Keyring): Promise<boolean> {
  const { apikey, authorization } = request.headers;
  const token =
    /^bearer\s+(.+)$/i.exec(authorization ?? "")?.[1] ?? (typeof apikey === "string" ? apikey : "");
  const verified = await keyring.verify(token);
  return "credential" in verified && verified.credential.role === "service_role";
}

async function works(asked: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, healthTimeoutMs, false)));
  try {
    return await Promise.race([asked, late]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
