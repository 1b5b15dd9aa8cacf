import { parseError } from "../errors/request-errors.ts";
import type { Cursor } from "./cursor.ts";

/** One `->` or `->>` into a JSON value: by key, or by position where `key` is a whole number. */
export interface JsonStep {
  readonly arrow: "->" | "->>";
  readonly by: "key" | "index";
  readonly key: string;
}

/** A column, perhaps with a path into it. `*` is a name like another here. */
export interface Field {
  readonly name: string;
  readonly path: readonly JsonStep[];
}

const fieldName = "field name (* or [a..z0..9_$])";

/** `id`, `first name`, `with-dash`, `"any thing"`. */
export function readName(cursor: Cursor): string | undefined {
  if (cursor.peek() === '"') return readQuoted(cursor);
  return cursor.match(/[\p{L}0-9_$ ]+(?:-(?!>)[\p{L}0-9_$ ]+)*/uy, fieldName)?.trim();
}

/** Letters, digits, `_`, `$` and spaces: what a cast or a text search configuration may be made of. */
export function readIdentifier(cursor: Cursor): string | undefined {
  return cursor.match(/[\p{L}0-9_$ ]+/uy, "letter or digit")?.trim();
}

/** `"…"` in which a backslash takes the next character as it is. */
export function readQuoted(cursor: Cursor): string | undefined {
  const quoted = cursor.match(/"(?:[^"\\]|\\[^])*"/y, '"\\""');
  return quoted?.slice(1, -1).replaceAll(/\\([^])/g, "$1");
}

export function readField(cursor: Cursor): Field | undefined {
  skipSpace(cursor);
  const name = readName(cursor);
  if (name === undefined) return undefined;
  const path = readJsonPath(cursor);
  skipSpace(cursor);
  return { name, path };
}

/** Postgres nests one expression per step, and its stack ends somewhere. */
const maxSteps = 100;

/** As many steps as there are; an arrow without a key is left standing, so that the caller fails at it. */
export function readJsonPath(cursor: Cursor): readonly JsonStep[] {
  const path: JsonStep[] = [];
  for (;;) {
    const start = cursor.at;
    const arrow = cursor.literal("->>") ? "->>" : cursor.literal("->") ? "->" : undefined;
    if (arrow === undefined) return path;
    const step = readStep(cursor);
    if (step === undefined) {
      cursor.rewind(start);
      return path;
    }
    path.push({ arrow, ...step });
    if (path.length > maxSteps) {
      throw parseError("failed to parse JSON path", `more than ${maxSteps} steps`);
    }
  }
}

function readStep(cursor: Cursor): Omit<JsonStep, "arrow"> | undefined {
  // The end of a number is the end of the step: `->1st` is the key "1st".
  const index = cursor.match(/-?[0-9]+(?=->|::|[.,)]|$)/y, "digit");
  if (index !== undefined) return { by: "index", key: index };
  const key =
    cursor.peek() === '"'
      ? readQuoted(cursor)
      : cursor
          .match(/[^(\-:.,>)]+(?:-(?!>)[^(\-:.,>)]+)*/y, "any non reserved character different from: .,>()")
          ?.trim();
  return key === undefined ? undefined : { by: "key", key };
}

export function skipSpace(cursor: Cursor): void {
  while (cursor.peek() === " " || cursor.peek() === "\t") cursor.literal(cursor.peek());
}
