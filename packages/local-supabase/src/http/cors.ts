import type { IncomingMessage, ServerResponse } from "node:http";

const methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const allowedHeaders =
  "authorization, apikey, content-type, prefer, range, range-unit, accept, accept-profile, content-profile, " +
  "x-client-info, x-supabase-api-version, x-region, x-upsert";
const exposedHeaders =
  "content-encoding, content-location, content-range, content-type, date, location, preference-applied, range-unit, " +
  "server, transfer-encoding, www-authenticate, proxy-status, x-request-id";

/** Every origin may ask: what a page may do is decided by its key, as on a Supabase project. */
export function allowEveryOrigin(response: ServerResponse): void {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-expose-headers", exposedHeaders);
}

/** Answers a preflight; what a page wants to send is allowed. */
export function answerPreflight(request: IncomingMessage, response: ServerResponse): void {
  const wanted = request.headers["access-control-request-headers"];
  response.setHeader("access-control-allow-methods", methods);
  response.setHeader(
    "access-control-allow-headers",
    wanted === undefined || wanted === "" ? allowedHeaders : wanted,
  );
  response.setHeader("access-control-max-age", "3600");
  response.setHeader("vary", "access-control-request-headers");
  response.writeHead(204).end();
}
