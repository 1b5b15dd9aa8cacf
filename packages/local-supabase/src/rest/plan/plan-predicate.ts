import type { Field } from "../request/field.ts";
import type { Logic } from "../request/logic.ts";
import type { Table } from "../schema/schema-cache.ts";
import type { ColumnReference, Embed, Predicate } from "./read-plan.ts";
import { ofItself, type Said } from "./said.ts";

/** The root's own filters and logic as conditions on a table that is written. */
export function planConditions(table: Table, said: Said): readonly Predicate[] {
  const filters = ofItself(said.filters).map((filter): Logic => ({ kind: "filter", filter }));
  return [...filters, ...ofItself(said.logic)].map((term) => predicate(term, table.name, table, []));
}

/** A path into a column whose type is known not to be JSON goes into its JSON form. */
export function reference(alias: string, table: Table | undefined, { name, path }: Field): ColumnReference {
  const type = table?.columns.get(name)?.baseType;
  return {
    alias,
    name,
    path,
    asJson: path.length > 0 && type !== undefined && type !== "json" && type !== "jsonb",
  };
}

/** Conditions on the rows called `alias`; the null of an embedded relation asks whether it found something. */
export function predicate(
  logic: Logic,
  alias: string,
  table: Table | undefined,
  embeds: readonly Embed[],
): Predicate {
  if (logic.kind !== "filter") {
    return { ...logic, terms: logic.terms.map((term) => predicate(term, alias, table, embeds)) };
  }
  const { field, negated, operation } = logic.filter;
  const embed = field.path.length === 0 ? embeds.find(({ name }) => name === field.name) : undefined;
  if (embed !== undefined && operation.kind === "is" && isNullness(operation.value)) {
    return { kind: "embed", embed: embed.alias, found: (operation.value === "not_null") !== negated };
  }
  const column = reference(alias, table, field);
  const type = table?.columns.get(field.name)?.baseType;
  const isText = field.path.length > 0 || (type !== undefined && wordTypes.has(type));
  const asWords = operation.kind === "search" && isText;
  return { kind: "column", column, negated, operation, asWords };
}

const wordTypes = new Set(["text", "character varying", "bpchar", "json", "jsonb"]);

function isNullness(value: string): boolean {
  return value === "null" || value === "not_null";
}
