/** One condition of a filter. `value` is text as Postgres reads it; of `in` an array literal. */
export interface Condition {
  readonly column: string;
  readonly operator: FilterOperator;
  readonly value: string;
  readonly isNegated: boolean;
  /** How many values `in` has; 1 for the others. */
  readonly count: number;
}

export type FilterOperator = (typeof operators)[number];

const operators = [
  "eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct",
] as const; // prettier-ignore

/** `parts` is what was read where it could not go on, as the error message shows it. */
export type ParsedFilter =
  | { readonly conditions: readonly Condition[] }
  | { readonly parts: readonly string[] };

/**
 * `column=[not.]operator.value`, several separated by commas that are neither quoted nor in parentheses. Blank is no
 * condition. Source: the server this one follows, its transcripts `pgchanges-filters` and `pgchanges-errors`.
 */
export function parseFilter(text: string): ParsedFilter {
  if (text.trim() === "") return { conditions: [] };
  const conditions: Condition[] = [];
  for (const segment of splitList(text)) {
    const parsed = parseCondition(segment);
    if ("parts" in parsed) return parsed;
    conditions.push(parsed);
  }
  return { conditions };
}

function parseCondition(segment: string): Condition | { readonly parts: readonly string[] } {
  const equals = segment.indexOf("=");
  if (equals <= 0) return { parts: [segment] };
  const column = segment.slice(0, equals);
  let rest = segment.slice(equals + 1);
  const isNegated = rest.startsWith("not.");
  if (isNegated) rest = rest.slice("not.".length);
  const dot = rest.indexOf(".");
  if (dot === -1) return { parts: [rest] };
  const name = rest.slice(0, dot);
  const value = rest.slice(dot + 1);
  const operator = operators.find((known) => known === name);
  if (operator === undefined) return { parts: [name, value] };
  if (operator !== "in") return { column, operator, value: unquote(value), isNegated, count: 1 };
  if (!value.startsWith("(") || !value.endsWith(")")) return { parts: [name, value] };
  const values = value === "()" ? [] : splitList(value.slice(1, -1), "(").map(unquote);
  return {
    column,
    operator,
    value: `{${values.map(arrayElement).join(",")}}`,
    isNegated,
    count: values.length,
  };
}

/** A quote opens only where a value begins: behind `.`, `(` or `,`. */
function splitList(text: string, before = ""): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"' && /[.(,]/.test(text[at - 1] ?? before)) at = quoteEnd(text, at);
    else if (character === "(") depth++;
    else if (character === ")") depth--;
    else if (character === "," && depth <= 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

/** The index of the closing quote, or the last index where there is none. */
function quoteEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at;
  }
  return text.length - 1;
}

function unquote(value: string): string {
  if (
    value.length < 2 ||
    !value.startsWith('"') ||
    quoteEnd(value, 0) !== value.length - 1 ||
    !value.endsWith('"')
  )
    return value;
  return value.slice(1, -1).replaceAll(/\\(.)/gs, "$1");
}

function arrayElement(value: string): string {
  if (/^[\w.:+-]+$/.test(value) && value.toLowerCase() !== "null") return value;
  return `"${value.replaceAll(/(["\\])/g, "\\$1")}"`;
}
