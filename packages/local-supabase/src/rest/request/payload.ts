import { bodyError } from "../errors/request-errors.ts";

/** A body that goes to Postgres as it came: `text` is never written anew. */
export interface JsonPayload {
  readonly kind: "json";
  readonly text: string;
  readonly shape: "object" | "array";
  /** The columns or arguments it gives. */
  readonly keys: readonly string[];
}

/** The one argument of a function with a single unnamed parameter. */
export interface RawPayload {
  readonly kind: "raw";
  readonly text: string;
  readonly type: "text" | "xml" | "bytea";
}

/** `keys` are those of the `columns` parameter: where the client names them, only Postgres reads the body. */
export function parseJsonPayload(body: string, keys: readonly string[] | undefined): JsonPayload {
  if (isTooDeep(body)) throw bodyError(`the body is nested more than ${maxDepth} deep`);
  if (keys !== undefined)
    return { kind: "json", text: body, shape: looksLikeObject(body) ? "object" : "array", keys };
  const value = parseJson(body);
  if (Array.isArray(value)) return { kind: "json", text: body, shape: "array", keys: commonKeys(value) };
  if (isObject(value)) return { kind: "json", text: body, shape: "object", keys: Object.keys(value) };
  return { kind: "json", text: "[]", shape: "array", keys: [] };
}

/** By function, an empty body means no arguments. */
export function parseCallPayload(
  body: string,
  contentType: string | undefined,
  columns: readonly string[] | undefined,
): JsonPayload | RawPayload {
  switch (baseType(contentType)) {
    case "application/json":
      return body === "" && columns === undefined
        ? { kind: "json", text: "{}", shape: "object", keys: [] }
        : parseJsonPayload(body, columns);
    case "application/x-www-form-urlencoded":
      return formPayload(body);
    case "text/plain":
      return { kind: "raw", text: body, type: "text" };
    case "text/xml":
      return { kind: "raw", text: body, type: "xml" };
    case "application/octet-stream":
      return { kind: "raw", text: body, type: "bytea" };
    default:
      throw bodyError(`Content-Type not acceptable: ${baseType(contentType)}`);
  }
}

export function parseRowPayload(
  body: string,
  contentType: string | undefined,
  columns: readonly string[] | undefined,
): JsonPayload {
  switch (baseType(contentType)) {
    case "application/json":
      return parseJsonPayload(body, columns);
    case "application/x-www-form-urlencoded":
      return formPayload(body);
    default:
      throw bodyError(`Content-Type not acceptable: ${baseType(contentType)}`);
  }
}

function formPayload(body: string): JsonPayload {
  const fields = Object.fromEntries(new URLSearchParams(body));
  return { kind: "json", text: JSON.stringify(fields), shape: "object", keys: Object.keys(fields) };
}

function baseType(contentType: string | undefined): string {
  const [type] = (contentType ?? "application/json").split(";");
  return (type ?? "").trim().toLowerCase();
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw bodyError("Empty or invalid json");
  }
}

function commonKeys(rows: readonly unknown[]): readonly string[] {
  const [first] = rows;
  if (rows.length === 0) return [];
  const keys = isObject(first) ? Object.keys(first) : undefined;
  const same = (row: unknown): boolean =>
    isObject(row) && Object.keys(row).length === keys?.length && keys.every((key) => Object.hasOwn(row, key));
  if (keys === undefined || !rows.every(same)) throw bodyError("All object keys must match");
  return keys;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function looksLikeObject(body: string): boolean {
  return /^[ \t\r\n]*\{/.test(body);
}

// The embedded Postgres runs out of stack at some 7,000 and has to be started again then.
const maxDepth = 1_000;

/** Counts brackets outside strings, so that it costs no stack itself. */
function isTooDeep(body: string): boolean {
  let depth = 0;
  for (const [token] of body.matchAll(/"(?:[^"\\]|\\.)*"|[[{\]}]/gs)) {
    if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth--;
    if (depth > maxDepth) return true;
  }
  return false;
}
