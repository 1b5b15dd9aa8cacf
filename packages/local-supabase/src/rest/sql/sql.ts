import type { SqlText } from "../../database/database.ts";

/**
 * A piece of SQL whose values are still apart from its text. Made only by the functions below: what a client sent can
 * become a parameter or a quoted identifier, never text.
 */
export interface Sql {
  readonly parts: readonly (string | Parameter)[];
}

interface Parameter {
  readonly value: SqlText;
}

/** Tagged template; only other pieces of SQL can be put in. */
export function sql(strings: TemplateStringsArray, ...pieces: readonly Sql[]): Sql {
  const parts: (string | Parameter)[] = [];
  for (const [at, text] of strings.entries()) {
    parts.push(text);
    // One by one: a call takes fewer arguments than a statement may have parts.
    for (const part of pieces[at]?.parts ?? []) parts.push(part);
  }
  return { parts };
}

/** A parameter; Postgres infers its type from where it stands. */
export function value(text: SqlText | number): Sql {
  return { parts: [{ value: typeof text === "number" ? String(text) : text }] };
}

/** `"schema"."table"."column"`; an empty name is left out. */
export function identifier(...names: readonly string[]): Sql {
  return {
    parts: [
      names
        .filter((name) => name !== "")
        .map(quote)
        .join("."),
    ],
  };
}

function quote(name: string): string {
  if (name.includes("\0")) throw new TypeError("an identifier cannot contain a zero byte");
  return `"${name.replaceAll('"', '""')}"`;
}

/** Text that we or the database's own catalog wrote: a type's name, a default's expression. Never a client's. */
export function trusted(text: string): Sql {
  return { parts: [text] };
}

export const nothing: Sql = { parts: [] };

export function joined(pieces: readonly Sql[], separator: string): Sql {
  return { parts: pieces.flatMap((piece, at) => (at === 0 ? piece.parts : [separator, ...piece.parts])) };
}

/** The statement's text with `$1`, `$2`, … and the values in that order. */
export function render({ parts }: Sql): { readonly text: string; readonly params: readonly SqlText[] } {
  const params: SqlText[] = [];
  const text = parts
    .map((part) => (typeof part === "string" ? part : `$${params.push(part.value)}`))
    .join("");
  return { text, params };
}
