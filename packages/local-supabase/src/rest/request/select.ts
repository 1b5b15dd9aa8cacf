import { aggregateError, notImplementedError, parseError } from "../errors/request-errors.ts";
import { Cursor } from "./cursor.ts";
import { readIdentifier, readJsonPath, readName, skipSpace, type Field } from "./field.ts";

export type SelectItem = SelectField | SelectRelation;

/** `alias:column->path::cast`; `*` is a field of that name. */
export interface SelectField {
  readonly kind: "field";
  readonly field: Field;
  readonly alias: string | undefined;
  readonly cast: string | undefined;
}

/** `alias:relation!hint!inner(…)`. */
export interface SelectRelation {
  readonly kind: "relation";
  readonly name: string;
  readonly alias: string | undefined;
  readonly hint: string | undefined;
  readonly join: "inner" | "left" | undefined;
  readonly select: readonly SelectItem[];
}

/** Deeper than anybody reads, shallow enough that one request cannot ask for the product of ten tables. */
const maxDepth = 10;
const maxRelations = 100;

/** Reads the `select` parameter. Spread relations and aggregates are refused, never read as something else. */
export function parseSelect(text: string): readonly SelectItem[] {
  const cursor = new Cursor(text);
  const count = { relations: 0 };
  const items = readItems(cursor, count, 0);
  if (items === undefined || !cursor.end()) throw cursor.error(`failed to parse select parameter (${text})`);
  return items;
}

function readItems(cursor: Cursor, count: { relations: number }, depth: number): SelectItem[] | undefined {
  const items: SelectItem[] = [];
  skipSpace(cursor);
  if (cursor.ended || cursor.peek() === ")") return items;
  do {
    const item = readItem(cursor, count, depth);
    if (item === undefined) return undefined;
    items.push(item);
  } while (cursor.literal(",", '","'));
  return items;
}

function readItem(cursor: Cursor, count: { relations: number }, depth: number): SelectItem | undefined {
  skipSpace(cursor);
  if (cursor.literal("...", '"..."')) {
    throw notImplementedError("Spread relations (`...relation(…)`) are not implemented in select.");
  }
  const alias = readAlias(cursor);
  if (alias === undefined && cursor.literal("*", '"*"')) {
    return { kind: "field", field: { name: "*", path: [] }, alias: undefined, cast: undefined };
  }
  const name = readName(cursor);
  if (name === undefined) return undefined;
  if (name === "count" && cursor.literal("()", '"()"')) throw aggregateError();
  if (cursor.peek() === "!" || cursor.peek() === "(")
    return readRelation(cursor, { name, alias }, count, depth);
  return readSelectField(cursor, name, alias);
}

function readAlias(cursor: Cursor): string | undefined {
  const start = cursor.at;
  const name = readName(cursor);
  if (name !== undefined && cursor.literal(":", '":"')) {
    if (cursor.peek() !== ":" && name !== "") return name;
  }
  cursor.rewind(start);
  return undefined;
}

function readSelectField(cursor: Cursor, name: string, alias: string | undefined): SelectField | undefined {
  const path = readJsonPath(cursor);
  let cast: string | undefined;
  if (cursor.literal("::", '"::"')) {
    cast = readIdentifier(cursor);
    if (cast === undefined) return undefined;
  }
  if (cursor.match(/\.(?:sum|avg|count|max|min)\(\)/y, '"."') !== undefined) throw aggregateError();
  skipSpace(cursor);
  return { kind: "field", field: { name, path }, alias, cast };
}

function readRelation(
  cursor: Cursor,
  named: { readonly name: string; readonly alias: string | undefined },
  count: { relations: number },
  depth: number,
): SelectRelation | undefined {
  let hint: string | undefined;
  let join: "inner" | "left" | undefined;
  for (let parameters = 0; parameters < 2 && cursor.literal("!", '"!"'); parameters += 1) {
    const parameter = readName(cursor);
    if (parameter === undefined) return undefined;
    if (parameter === "inner" || parameter === "left") join ??= parameter;
    else hint ??= parameter;
  }
  if (!cursor.literal("(", '"("')) return undefined;
  count.relations += 1;
  if (depth >= maxDepth || count.relations > maxRelations) {
    throw parseError(
      "failed to parse select parameter: too many embedded relations",
      `at most ${maxRelations} relations, nested at most ${maxDepth} deep`,
    );
  }
  const select = readItems(cursor, count, depth + 1);
  if (select === undefined || !cursor.literal(")", '")"')) return undefined;
  skipSpace(cursor);
  return { kind: "relation", ...named, hint, join, select };
}
