import { Cursor } from "./cursor.ts";
import { readIdentifier, readQuoted, skipSpace, type Field } from "./field.ts";

/** Operators that take one value and no quantifier. */
export const simpleOperators = ["neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"] as const;
/** Operators that may be followed by `(any)` or `(all)`. Longer names before those they begin with. */
export const quantifiedOperators = [
  "eq",
  "gte",
  "gt",
  "lte",
  "lt",
  "like",
  "ilike",
  "match",
  "imatch",
] as const;
export const searchOperators = ["fts", "plfts", "phfts", "wfts"] as const;
export const isValues = ["not_null", "null", "true", "false", "unknown"] as const;

export type SimpleOperator = (typeof simpleOperators)[number];
export type QuantifiedOperator = (typeof quantifiedOperators)[number];
export type SearchOperator = (typeof searchOperators)[number];
export type IsValue = (typeof isValues)[number];

export type Operation =
  | { readonly kind: "simple"; readonly operator: SimpleOperator; readonly value: string }
  | {
      readonly kind: "quantified";
      readonly operator: QuantifiedOperator;
      readonly quantifier: "any" | "all" | undefined;
      readonly value: string;
    }
  | { readonly kind: "in"; readonly values: readonly string[] }
  | { readonly kind: "is"; readonly value: IsValue }
  | { readonly kind: "isdistinct"; readonly value: string }
  | {
      readonly kind: "search";
      readonly operator: SearchOperator;
      readonly config: string | undefined;
      readonly value: string;
    };

export interface Condition {
  readonly negated: boolean;
  readonly operation: Operation;
}

export interface Filter extends Condition {
  readonly field: Field;
}

/** Reads what stands right of `column=`: `not.eq.5`, `in.(1,2)`. */
export function parseCondition(text: string): Condition {
  const cursor = new Cursor(text);
  const condition = readCondition(cursor, (values) => values.rest());
  if (condition === undefined || !cursor.end()) throw cursor.error(`failed to parse filter (${text})`);
  return condition;
}

/** As `parseCondition`, for places where other text is allowed: undefined when it is not a condition. */
export function tryCondition(text: string): Condition | undefined {
  const cursor = new Cursor(text);
  const condition = readCondition(cursor, (values) => values.rest());
  return cursor.ended ? condition : undefined;
}

/** `readValue` knows where a single value ends: at the end of the text, or at a comma inside `or=(…)`. */
export function readCondition(cursor: Cursor, readValue: (cursor: Cursor) => string): Condition | undefined {
  const start = cursor.at;
  const negated = cursor.literal("not", '"not"') && readDot(cursor);
  if (!negated) cursor.rewind(start);
  const operation = readOperation(cursor, readValue);
  return operation === undefined ? undefined : { negated, operation };
}

const operatorName = "operator (eq, gt, ...)";

function readOperation(cursor: Cursor, readValue: (cursor: Cursor) => string): Operation | undefined {
  const start = cursor.at;
  const operator = cursor.match(/[a-z]+/y, operatorName);
  if (operator === undefined) return undefined;
  const unread = (): undefined => {
    cursor.rewind(start);
    cursor.expect(operatorName);
  };
  if (operator === "in") return readDot(cursor) ? readIn(cursor) : unread();
  if (operator === "is") return readDot(cursor) ? readIs(cursor) : unread();
  if (operator === "isdistinct") {
    return readDot(cursor) ? { kind: "isdistinct", value: readValue(cursor) } : unread();
  }
  if (isOneOf(searchOperators, operator)) {
    const config = readParenthesized(cursor, readIdentifier);
    return readDot(cursor) ? { kind: "search", operator, config, value: readValue(cursor) } : unread();
  }
  if (isOneOf(simpleOperators, operator)) {
    return readDot(cursor) ? { kind: "simple", operator, value: readValue(cursor) } : unread();
  }
  if (isOneOf(quantifiedOperators, operator)) {
    const quantifier = readParenthesized(cursor, readQuantifier);
    return readDot(cursor)
      ? { kind: "quantified", operator, quantifier, value: readValue(cursor) }
      : unread();
  }
  return unread();
}

function isOneOf<T extends string>(names: readonly T[], name: string): name is T {
  return names.some((known) => known === name);
}

function readDot(cursor: Cursor): boolean {
  return cursor.literal(".", "delimiter (.)");
}

function readQuantifier(cursor: Cursor): "any" | "all" | undefined {
  if (cursor.literal("any", '"any"')) return "any";
  return cursor.literal("all", '"all"') ? "all" : undefined;
}

function readParenthesized<T>(cursor: Cursor, read: (cursor: Cursor) => T | undefined): T | undefined {
  const start = cursor.at;
  if (cursor.literal("(", '"("')) {
    const inside = read(cursor);
    if (inside !== undefined && cursor.literal(")", '")"')) return inside;
  }
  cursor.rewind(start);
  return undefined;
}

function readIs(cursor: Cursor): Operation | undefined {
  const found = cursor.match(
    /(?:not_null|null|true|false|unknown)/iy,
    "isVal: (null, not_null, true, false, unknown)",
  );
  const value = isValues.find((known) => known === found?.toLowerCase());
  return value === undefined ? undefined : { kind: "is", value };
}

function readIn(cursor: Cursor): Operation | undefined {
  skipSpace(cursor);
  if (!cursor.literal("(", '"("')) return undefined;
  skipSpace(cursor);
  const values: string[] = [];
  do {
    values.push(readElement(cursor));
  } while (cursor.literal(",", '","'));
  if (!cursor.literal(")", '")"')) return undefined;
  skipSpace(cursor);
  return { kind: "in", values };
}

/** A value inside `in.(…)`: quoted, or up to the next comma or parenthesis. */
function readElement(cursor: Cursor): string {
  return readQuotedElement(cursor) ?? cursor.match(/[^,)]*/y, "value") ?? "";
}

/** A value inside `or=(…)`: as in `in.(…)`, or an array literal with its commas. */
export function readLogicValue(cursor: Cursor): string {
  return (
    readQuotedElement(cursor) ??
    cursor.match(/\{[^{}]*\}(?=[,)])/y, '"{"') ??
    cursor.match(/[^,)]*/y, "value") ??
    ""
  );
}

function readQuotedElement(cursor: Cursor): string | undefined {
  const start = cursor.at;
  if (cursor.peek() === '"') {
    const quoted = readQuoted(cursor);
    if (quoted !== undefined && (cursor.ended || /[,)]/.test(cursor.peek()))) return quoted;
  }
  cursor.rewind(start);
  return undefined;
}
