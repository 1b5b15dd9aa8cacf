import { Cursor } from "./cursor.ts";
import { readField, readName, skipSpace, type Field } from "./field.ts";

export interface OrderTerm {
  /** The embedded to-one relation whose column it is, or undefined for a column of its own. */
  readonly relation: string | undefined;
  readonly field: Field;
  readonly direction: "asc" | "desc" | undefined;
  readonly nulls: "first" | "last" | undefined;
}

/** Reads `name.desc.nullslast,clients(name).asc`. */
export function parseOrder(text: string): readonly OrderTerm[] {
  const cursor = new Cursor(text);
  const terms: OrderTerm[] = [];
  do {
    skipSpace(cursor);
    const term = readTerm(cursor);
    if (term === undefined) throw cursor.error(`failed to parse order (${text})`);
    terms.push(term);
    skipSpace(cursor);
  } while (cursor.literal(",", '","'));
  if (!cursor.end()) throw cursor.error(`failed to parse order (${text})`);
  return terms;
}

function readTerm(cursor: Cursor): OrderTerm | undefined {
  const related = readRelated(cursor);
  const field = related?.field ?? readField(cursor);
  if (field === undefined) return undefined;
  const direction = readModifier(cursor, ["asc", "desc"] as const);
  const nulls = readModifier(cursor, ["nullsfirst", "nullslast"] as const);
  return {
    relation: related?.relation,
    field,
    direction,
    nulls: nulls === undefined ? undefined : nulls === "nullsfirst" ? "first" : "last",
  };
}

function readRelated(cursor: Cursor): { readonly relation: string; readonly field: Field } | undefined {
  const start = cursor.at;
  const relation = readName(cursor);
  if (relation !== undefined && cursor.literal("(", '"("')) {
    const field = readField(cursor);
    if (field !== undefined && cursor.literal(")", '")"')) return { relation, field };
  }
  cursor.rewind(start);
  return undefined;
}

function readModifier<T extends string>(cursor: Cursor, words: readonly T[]): T | undefined {
  const start = cursor.at;
  if (cursor.literal(".", "delimiter (.)")) {
    const word = words.find((candidate) => cursor.literal(candidate));
    if (word !== undefined) return word;
  }
  cursor.rewind(start);
  return undefined;
}
