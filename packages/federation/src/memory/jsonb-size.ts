import { isRecord } from "../runtime/json.ts";

/** The bytes of a JSON value as Postgres prints it: a space behind every comma and colon, and no number with an exponent. */
export function jsonbBytes(value: unknown): number {
  if (typeof value === "number") return numberBytes(value);
  if (Array.isArray(value))
    return value.reduce<number>((sum, each) => sum + jsonbBytes(each), listBytes(value.length));
  if (!isRecord(value)) return encoder.encode(JSON.stringify(value)).length;
  const entries = Object.entries(value);
  return entries.reduce(
    (sum, [key, each]) => sum + jsonbBytes(key) + 2 + jsonbBytes(each),
    listBytes(entries.length),
  );
}

const encoder = new TextEncoder();

/** Brackets, and what is between the parts. */
function listBytes(parts: number): number {
  return 2 + 2 * Math.max(0, parts - 1);
}

function numberBytes(value: number): number {
  const text = String(value);
  const [, sign = "", decimals = "", exponent] = /^(-?)\d(?:\.(\d+))?e([+-]\d+)$/.exec(text) ?? [];
  if (exponent === undefined) return value === 0 ? 1 : text.length;
  const shift = Number(exponent);
  return sign.length + (shift > 0 ? shift + 1 : 2 - shift + decimals.length);
}
