import { parseError } from "../errors/request-errors.ts";
import { Cursor } from "./cursor.ts";
import { readField, skipSpace } from "./field.ts";
import { readCondition, readLogicValue, type Filter } from "./filter.ts";

export type Logic =
  | { readonly kind: "filter"; readonly filter: Filter }
  | { readonly kind: "and" | "or"; readonly negated: boolean; readonly terms: readonly Logic[] };

const maxDepth = 32;

/** Reads `or=(a.eq.1,and(b.gt.2,c.is.null))`; `operator` is what the parameter's name said. */
export function parseLogic(operator: "and" | "or", negated: boolean, text: string): Logic {
  const cursor = new Cursor(text);
  const terms = readTerms(cursor, 0);
  if (terms === undefined || !cursor.end()) throw cursor.error(`failed to parse logic tree (${text})`);
  return { kind: operator, negated, terms };
}

function readTerms(cursor: Cursor, depth: number): Logic[] | undefined {
  if (depth >= maxDepth) throw parseError("failed to parse logic tree", `nested more than ${maxDepth} deep`);
  skipSpace(cursor);
  if (!cursor.literal("(", '"("')) return undefined;
  const terms: Logic[] = [];
  do {
    skipSpace(cursor);
    const term = readGroup(cursor, depth) ?? readFilter(cursor);
    if (term === undefined) return undefined;
    terms.push(term);
    skipSpace(cursor);
  } while (cursor.literal(",", '","'));
  return cursor.literal(")", '")"') ? terms : undefined;
}

function readGroup(cursor: Cursor, depth: number): Logic | undefined {
  const start = cursor.at;
  // Only what a parenthesis follows is a group: a column may be called "and", "or" or "not".
  const head = cursor.match(/(?:not\.)?(?:and|or)(?=[ \t]*\()/y, "logic operator (and, or)");
  const terms = head === undefined ? undefined : readTerms(cursor, depth + 1);
  if (head === undefined || terms === undefined) {
    cursor.rewind(start);
    return undefined;
  }
  return { kind: head.endsWith("and") ? "and" : "or", negated: head.startsWith("not."), terms };
}

function readFilter(cursor: Cursor): Logic | undefined {
  const field = readField(cursor);
  if (field === undefined || !cursor.literal(".", "delimiter (.)")) return undefined;
  const condition = readCondition(cursor, readLogicValue);
  return condition === undefined ? undefined : { kind: "filter", filter: { field, ...condition } };
}
