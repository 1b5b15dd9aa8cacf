import { parseError } from "../errors/request-errors.ts";
import { Cursor } from "./cursor.ts";
import { readField, readName, skipSpace, type Field } from "./field.ts";
import { parseCondition, tryCondition, type Filter } from "./filter.ts";
import { parseLogic, type Logic } from "./logic.ts";
import { parseOrder, type OrderTerm } from "./order.ts";
import { parseSelect, type SelectItem } from "./select.ts";

/** Something said about the relation at the end of `path`; an empty path is the table of the request. */
export interface At<T> {
  readonly path: readonly string[];
  readonly value: T;
}

export interface Window {
  /** Undefined: as many as allowed. */
  readonly limit: number | undefined;
  readonly offset: number;
}

/** The query string, each parameter read by its own grammar. */
export interface QueryString {
  readonly select: readonly SelectItem[];
  readonly filters: readonly At<Filter>[];
  readonly logic: readonly At<Logic>[];
  readonly orders: readonly At<readonly OrderTerm[]>[];
  readonly windows: readonly At<Window>[];
  readonly columns: readonly string[] | undefined;
  readonly onConflict: readonly string[] | undefined;
  /** Of a function called by GET: parameters that are not filters of its result. */
  readonly args: readonly (readonly [name: string, value: string])[];
}

const named = new Set(["select", "columns", "on_conflict"]);

/** `args` says whether a parameter that is no filter is an argument (a function called by GET) or an error. */
export function parseQueryString(query: string, { args }: { readonly args: boolean }): QueryString {
  const parameters = [...new URLSearchParams(query)];
  for (const [name, value] of parameters) refuseZeroByte(name, value);
  const first = (name: string): string | undefined => parameters.find(([key]) => key === name)?.[1];
  const byKind = (kinds: readonly string[]): [string, string][] =>
    parameters.filter(([key]) => kinds.includes(lastWord(key)));

  const filters: At<Filter>[] = [];
  const given: [string, string][] = [];
  for (const [key, value] of parameters) {
    if (named.has(key) || reserved.includes(lastWord(key))) continue;
    const condition = args ? tryCondition(value) : parseCondition(value);
    if (condition === undefined) given.push([key, value]);
    else {
      const { path, field } = parseTarget(key);
      filters.push({ path, value: { field, ...condition } });
    }
  }
  return {
    select: parseSelect(first("select") ?? "*"),
    filters,
    logic: byKind(["and", "or"]).map(([key, value]) => parseLogicParameter(key, value)),
    orders: byKind(["order"]).map(([key, value]) => ({ path: parsePath(key), value: parseOrder(value) })),
    windows: parseWindows(byKind(["limit", "offset"])),
    columns: parseNames("columns", first("columns")),
    onConflict: parseNames("on_conflict", first("on_conflict")),
    args: given,
  };
}

const reserved = ["order", "limit", "offset", "and", "or"];

function lastWord(key: string): string {
  return key.slice(key.lastIndexOf(".") + 1);
}

/** Postgres text has no zero byte, and its protocol ends strings with one. */
function refuseZeroByte(...texts: readonly string[]): void {
  if (texts.some((text) => text.includes("\0"))) {
    throw parseError("failed to parse the query string", "unexpected zero byte");
  }
}

/** `clients.address->city` is column `address`, path `city`, of the embedded `clients`. */
function parseTarget(key: string): { readonly path: readonly string[]; readonly field: Field } {
  const cursor = new Cursor(key);
  const path: string[] = [];
  for (;;) {
    const field = readField(cursor);
    if (field === undefined) throw cursor.error(`failed to parse tree path (${key})`);
    if (cursor.ended) return { path, field };
    if (field.path.length > 0 || !cursor.literal(".", "delimiter (.)")) {
      cursor.end();
      throw cursor.error(`failed to parse tree path (${key})`);
    }
    path.push(field.name);
  }
}

/** The relation that `clients.order` speaks of. */
function parsePath(key: string): readonly string[] {
  return parseTarget(key).path;
}

function parseLogicParameter(key: string, value: string): At<Logic> {
  const { path, field } = parseTarget(key);
  const negated = path.includes("not");
  return {
    path: path.filter((name) => name !== "not"),
    value: parseLogic(field.name === "and" ? "and" : "or", negated, value),
  };
}

/** A limit or an offset that is not a whole number is ignored, as PostgREST does. */
function parseWindows(parameters: readonly (readonly [string, string])[]): readonly At<Window>[] {
  const windows = new Map<string, At<Window>>();
  for (const [key, text] of parameters) {
    const path = parsePath(key);
    const number = /^-?[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
    if (number === undefined) continue;
    const name = JSON.stringify(path);
    const { limit, offset } = windows.get(name)?.value ?? { limit: undefined, offset: 0 };
    const value = lastWord(key) === "limit" ? { limit: number, offset } : { limit, offset: number };
    windows.set(name, { path, value });
  }
  return [...windows.values()];
}

function parseNames(parameter: string, text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const cursor = new Cursor(text);
  const names: string[] = [];
  do {
    skipSpace(cursor);
    const name = readName(cursor);
    if (name === undefined) throw cursor.error(`failed to parse ${parameter} parameter (${text})`);
    names.push(name);
    skipSpace(cursor);
  } while (cursor.literal(",", '","'));
  if (!cursor.end()) throw cursor.error(`failed to parse ${parameter} parameter (${text})`);
  return [...new Set(names)];
}
