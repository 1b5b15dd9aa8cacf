import {
  methodError,
  notImplementedError,
  pathError,
  preferenceError,
  rpcMethodError,
  unknownSchemaError,
} from "../errors/request-errors.ts";
import type { RestOptions, RestRequestText } from "../rest.ts";
import { negotiate, type Representation } from "./media-type.ts";
import { parseCallPayload, parseRowPayload, type JsonPayload, type RawPayload } from "./payload.ts";
import { parsePreferences, type Preferences } from "./preferences.ts";
import { parseQueryString, type QueryString } from "./query-string.ts";
import { topWindow } from "./range.ts";
import type { Window } from "./query-string.ts";

/** A request as we understood it, before anything is known of the database. */
export type ParsedRequest = Common & Action;

interface Common {
  readonly schema: string;
  /** Whether the client named the schema, so that the answer repeats it. */
  readonly schemaNamed: boolean;
  readonly preferences: Preferences;
  readonly representation: Representation;
  readonly query: QueryString;
  /** Limit and offset of the outermost rows, from the query string and the `Range` header together. */
  readonly window: Window;
}

export type Action =
  | { readonly kind: "read"; readonly table: string; readonly headersOnly: boolean }
  | { readonly kind: "insert"; readonly table: string; readonly payload: JsonPayload }
  | { readonly kind: "update"; readonly table: string; readonly payload: JsonPayload }
  | { readonly kind: "delete"; readonly table: string }
  | {
      readonly kind: "call";
      readonly name: string;
      readonly method: "get" | "head" | "post";
      /** Undefined for GET and HEAD, whose arguments are in `query.args`. */
      readonly payload: JsonPayload | RawPayload | undefined;
    }
  | { readonly kind: "describe"; readonly headersOnly: boolean };

/** Pure. Throws RestError for what can be seen to be wrong without asking the database. */
export function parseRequest(
  request: RestRequestText,
  { schemas, debug }: Pick<RestOptions, "schemas" | "debug">,
): ParsedRequest {
  const resource = parsePath(request.path);
  const { schema, schemaNamed } = chooseSchema(request, schemas);
  const isGet = request.method === "GET" || request.method === "HEAD";
  const query = parseQueryString(request.query, { args: resource.kind === "rpc" && isGet });
  const action = parseAction(request, resource, query);
  const preferences = parsePreferences(request.headers["prefer"], debug);
  if (preferences.handling === "strict" && preferences.invalid.length > 0) {
    throw preferenceError(preferences.invalid);
  }
  return {
    ...action,
    schema,
    schemaNamed,
    preferences,
    representation: negotiate(action.kind === "describe" ? undefined : request.headers["accept"], debug),
    query,
    window: topWindow(query.windows, request.method === "GET" ? request.headers["range"] : undefined),
  };
}

type Resource = { readonly kind: "root" } | { readonly kind: "table" | "rpc"; readonly name: string };

function parsePath(path: string): Resource {
  const segments = path.replace(/^\//, "").split("/").map(decode);
  const [first, second] = segments;
  if (segments.length === 1 && first === "") return { kind: "root" };
  if (segments.length === 1 && first !== undefined) return { kind: "table", name: first };
  if (segments.length === 2 && first === "rpc" && second !== undefined && second !== "") {
    return { kind: "rpc", name: second };
  }
  throw pathError();
}

function decode(segment: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(segment);
  } catch {
    throw pathError();
  }
  if (decoded.includes("\0")) throw pathError();
  return decoded;
}

function chooseSchema(
  { method, headers }: RestRequestText,
  schemas: readonly string[],
): { readonly schema: string; readonly schemaNamed: boolean } {
  const writes = method === "POST" || method === "PATCH" || method === "PUT" || method === "DELETE";
  const named = headers[writes ? "content-profile" : "accept-profile"];
  if (named === undefined) return { schema: schemas[0] ?? "public", schemaNamed: schemas.length > 1 };
  if (!schemas.includes(named)) throw unknownSchemaError(named, schemas);
  return { schema: named, schemaNamed: true };
}

function parseAction(request: RestRequestText, resource: Resource, query: QueryString): Action {
  const { method, body, headers } = request;
  if (resource.kind === "root") {
    if (method === "GET" || method === "HEAD") return { kind: "describe", headersOnly: method === "HEAD" };
    throw methodError(method);
  }
  const { name } = resource;
  if (resource.kind === "rpc") {
    if (method === "GET") return { kind: "call", name, method: "get", payload: undefined };
    if (method === "HEAD") return { kind: "call", name, method: "head", payload: undefined };
    if (method !== "POST") throw rpcMethodError(method);
    const payload = parseCallPayload(body, headers["content-type"], query.columns);
    return { kind: "call", name, method: "post", payload };
  }
  switch (method) {
    case "GET":
    case "HEAD":
      return { kind: "read", table: name, headersOnly: method === "HEAD" };
    case "POST":
      return {
        kind: "insert",
        table: name,
        payload: parseRowPayload(body, headers["content-type"], query.columns),
      };
    case "PATCH":
      return {
        kind: "update",
        table: name,
        payload: parseRowPayload(body, headers["content-type"], query.columns),
      };
    case "DELETE":
      return { kind: "delete", table: name };
    case "PUT":
      throw notImplementedError("PUT is not implemented: use POST with Prefer: resolution=merge-duplicates.");
    default:
      throw methodError(method);
  }
}
