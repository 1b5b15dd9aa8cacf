import { isObject } from "../codec/message.ts";
import { parseFilter, type Condition } from "./filter.ts";
import { problems } from "./texts.ts";

export type RowEvent = "INSERT" | "UPDATE" | "DELETE";

/** One entry of `postgres_changes`, understood. `*` is any schema or table. */
export interface Binding {
  readonly id: number;
  readonly event: RowEvent | "*";
  readonly schema: string;
  readonly table: string;
  readonly conditions: readonly Condition[];
  /** Columns asked for; undefined is all. */
  readonly select: readonly string[] | undefined;
}

export type ParsedBinding = { readonly binding: Binding } | { readonly problem: string };

/** A misspelt event is all events, as real servers have it. */
export function parseBinding(entry: Readonly<Record<string, unknown>>, id: number): ParsedBinding {
  const given = isObject(entry) ? entry : {};
  const { schema, table, filter, select } = given;
  const isNothing = (typeof schema !== "string" && typeof table !== "string") || table === null;
  if (isNothing) return { problem: problems.noParameters(given) };
  const event = parseEvent(given["event"]);
  const binding = {
    id,
    event,
    schema: typeof schema === "string" ? schema : "public",
    table: typeof table === "string" ? table : "*",
    select: Array.isArray(select)
      ? select.filter((column): column is string => typeof column === "string")
      : undefined,
  };
  if (binding.select !== undefined && (binding.schema === "*" || binding.table === "*"))
    return { problem: problems.selectOnWildcard };
  const parsed = parseFilter(typeof filter === "string" ? filter : "");
  if ("parts" in parsed) return { problem: problems.filter(parsed.parts) };
  return { binding: { ...binding, conditions: parsed.conditions } };
}

function parseEvent(value: unknown): RowEvent | "*" {
  const name = typeof value === "string" ? value.toUpperCase() : "*";
  return name === "INSERT" || name === "UPDATE" || name === "DELETE" ? name : "*";
}

/** Whether a binding is about a table at all. */
export function isAbout(binding: Binding, schema: string, table: string): boolean {
  return (
    (binding.schema === "*" || binding.schema === schema) &&
    (binding.table === "*" || binding.table === table)
  );
}
