import { FederationError, toError } from "./errors.ts";

/** Any object that is not an array, with its keys unknown. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as an error message shows it: short, and never the default text of an object. */
export function describe(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 140 ? `${value.slice(0, 140)}…` : value);
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  if (typeof value === "function") return "a function";
  return String(value);
}

export function stringField(record: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = record[name];
  return typeof value === "string" ? value : undefined;
}

export function numberField(record: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = record[name];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  return undefined;
}

/**
 * What arrives at the other side when `value` is sent as JSON, and its size. Throws FederationError "invalid_argument" on what
 * JSON cannot carry: a function, a symbol, a bigint, a cycle, a number that is not finite, undefined itself. Keys whose value is
 * undefined are left out, as JSON does.
 */
export function toJson(
  value: unknown,
  what: string,
): { readonly value: unknown; readonly sizeBytes: number; readonly text: string } {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, refuseLosses);
  } catch (error) {
    throw new FederationError(
      "invalid_argument",
      `${what} cannot be sent as JSON: ${toError(error).message}`,
      { cause: error },
    );
  }
  if (text === undefined) {
    throw new FederationError("invalid_argument", `${what} cannot be sent as JSON: it is ${typeof value}`);
  }
  return { value: JSON.parse(text) as unknown, sizeBytes: new TextEncoder().encode(text).length, text };
}

/** Whether Postgres refuses JSON text: it stores neither NUL nor half a surrogate pair, which JSON.stringify writes as escapes. */
export function isUnstorable(json: string): boolean {
  return json.includes("\\u") && /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i.test(json);
}

/** The text without what Postgres does not store. */
export function storable(text: string): string {
  return text.replaceAll("\0", "").replaceAll(/\p{Surrogate}/gu, "\ufffd");
}

// JSON.stringify drops functions and symbols and turns NaN into null without a word.
function refuseLosses(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === "function" || typeof value === "symbol" || typeof value === "bigint") {
    throw new TypeError(`${key === "" ? "the value" : `"${key}"`} is a ${typeof value}`);
  }
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TypeError(`${key === "" ? "the value" : `"${key}"`} is ${value}`);
  }
  return value;
}
