import type { Binding } from "./binding.ts";
import type { Condition } from "./filter.ts";

/*
 * `message` of a `system` message that says why row changes are not subscribed to. Applications match on their fixed
 * beginnings; the dumps behind them are written as the server this one follows writes them.
 */
const unable = "Unable to subscribe to changes with given parameters.";

export const subscribedText = "Subscribed to PostgreSQL";

export const problems = {
  noParameters: (entry: Readonly<Record<string, unknown>>): string =>
    `No subscription params provided. Please provide at least a \`schema\` or \`table\` to subscribe to: ${dumpMap(entry)}`,
  selectOnWildcard:
    "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.",
  filter: (parts: readonly string[]): string => `Error parsing \`filter\` params: ${dumpList(parts)}`,
  notPublished: (binding: Binding): string =>
    `${unable} Please check Realtime is enabled for the given connect parameters: ${dumpBinding(binding)}`,
  exception: (binding: Binding, error: string): string =>
    `${unable} An exception happened so please check your connect parameters: ${dumpBinding(binding)}. Exception: ${error}`,
  databaseFailed: (reason: string): string =>
    `Unable to subscribe to changes: the database did not answer. ${reason}`,
} as const;

export const raised = (message: string): string => `ERROR P0001 (raise_exception) ${message}`;

/** `text` is "sqlstate message". */
export function castError(text: string): string {
  const code = text.slice(0, 5);
  return `ERROR ${code} (${conditionNames[code] ?? "error"}) ${text.slice(6)}`;
}

/** Source: PostgreSQL docs, Appendix A. */
const conditionNames: Readonly<Record<string, string>> = {
  "22P02": "invalid_text_representation",
  "22003": "numeric_value_out_of_range",
  "22007": "invalid_datetime_format",
  "22008": "datetime_field_overflow",
  "2201B": "invalid_regular_expression",
  "42883": "undefined_function",
};

const widestTuple = 80;

function dumpBinding({ event, schema, table, conditions, select }: Binding): string {
  const chosen = select === undefined ? "nil" : dumpList(select);
  return `[event: ${event}, schema: ${schema}, table: ${table}, filters: ${dumpConditions(conditions)}, select: ${chosen}]`;
}

function dumpConditions(conditions: readonly Condition[]): string {
  const tuples = conditions.map(({ column, operator, value, isNegated }) => {
    const parts = [column, operator, value].map((part) => JSON.stringify(part));
    const tuple = `{${parts.join(", ")}, ${isNegated}}`;
    return tuple.length <= widestTuple
      ? tuple
      : `{${parts[0]}, ${parts[1]},\n   ${parts[2]},\n   ${isNegated}}`;
  });
  const isWide = tuples.some((tuple) => tuple.includes("\n"));
  return isWide ? `[\n  ${tuples.join(",\n  ")}\n]` : `[${tuples.join(", ")}]`;
}

function dumpList(items: readonly string[]): string {
  return `[${items.map((item) => JSON.stringify(item)).join(", ")}]`;
}

function dumpMap(entry: Readonly<Record<string, unknown>>): string {
  const members = Object.keys(entry)
    .toSorted()
    .map((key) => `${JSON.stringify(key)} => ${dump(entry[key])}`);
  return `%{${members.join(", ")}}`;
}

function dump(value: unknown): string {
  return value === null || value === undefined ? "nil" : JSON.stringify(value);
}
