import type { DatabaseError } from "../../database/database.ts";
import { headerSafe, RestError } from "./rest-error.ts";

/**
 * What Postgres said, as an answer. `anonymous`: the request spoke for nobody, so a missing right is 401, not 403.
 * Statuses: PostgREST's reference, "Errors", "HTTP Status Codes"
 * (https://docs.postgrest.org/en/v14/references/errors.html#http-status-codes).
 */
export function fromDatabaseError(error: DatabaseError, anonymous: boolean): RestError {
  const { code, message, detail, hint } = error;
  if (code === "PGRST") return raisedAnswer(error);
  const status = statusOf(error, anonymous);
  const headers = status === 401 ? { "www-authenticate": "Bearer" } : {};
  return new RestError({ status, code, message, details: detail, hint, headers });
}

/** The first entry whose prefix the SQLSTATE has. */
const statuses: readonly (readonly [prefix: string, status: number])[] = [
  ["08", 503],
  ["09", 500],
  ["0L", 403],
  ["0P", 403],
  ["23503", 409],
  ["23505", 409],
  ["25006", 405],
  ["21000", 500],
  ["25", 500],
  ["28", 403],
  ["2D", 500],
  ["38", 500],
  ["39", 500],
  ["3B", 500],
  ["40", 500],
  ["42883", 404],
  ["42P01", 404],
  ["42P17", 500],
  ["53400", 500],
  ["53", 503],
  ["54", 500],
  ["55", 500],
  ["57P01", 503],
  ["57", 500],
  ["58", 500],
  ["F0", 500],
  ["HV", 500],
  ["P0001", 400],
  ["P0", 500],
  ["XX", 500],
];

function statusOf({ code, message }: DatabaseError, anonymous: boolean): number {
  if (code === "42501") return anonymous ? 401 : 403;
  if (code === "22023" && /^role .* does not exist$/s.test(message)) return 401;
  if (code.startsWith("PT")) {
    const status = Number(code.slice(2));
    return Number.isInteger(status) && status >= 200 && status <= 599 ? status : 500;
  }
  return statuses.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 400;
}

/**
 * `raise sqlstate 'PGRST'`: the function writes the whole answer, body in the message and status and headers in the
 * detail (https://docs.postgrest.org/en/v14/references/errors.html#raise-errors-with-http-status-codes).
 */
function raisedAnswer({ message, detail }: DatabaseError): RestError {
  const body = parseObject(message);
  if (typeof body?.["code"] !== "string" || typeof body["message"] !== "string") {
    return unreadable(
      `Invalid JSON value for MESSAGE: '${message}'`,
      "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'.",
    );
  }
  const hint =
    "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'.";
  if (detail === null) return unreadable("DETAIL is missing in the RAISE statement", hint);
  const facts = parseObject(detail);
  const status = facts?.["status"];
  const headers = facts?.["headers"];
  if (!isStatus(status) || !isObject(headers))
    return unreadable(`Invalid JSON value for DETAIL: '${detail}'`, hint);
  const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
  return new RestError({
    status,
    code: body["code"],
    message: body["message"],
    details: text(body["details"]),
    hint: text(body["hint"]),
    headers: safeHeaders(headers),
  });
}

function unreadable(details: string, hint: string): RestError {
  const message = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error";
  return new RestError({ status: 500, code: "PGRST121", message, details, hint });
}

function safeHeaders(headers: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => isHeaderName(name))
      .map(([name, value]) => [name.toLowerCase(), headerSafe(String(value))]),
  );
}

export function isHeaderName(name: string): boolean {
  return /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name);
}

export function isStatus(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 200 && Number(value) <= 599;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
