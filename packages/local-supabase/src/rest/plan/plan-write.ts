import { columnNotFoundError } from "../errors/schema-errors.ts";
import type { JsonPayload } from "../request/payload.ts";
import type { ParsedRequest } from "../request/request.ts";
import type { Column, Table } from "../schema/schema-cache.ts";
import { planConditions } from "./plan-predicate.ts";
import type { Predicate } from "./read-plan.ts";
import type { Said } from "./said.ts";

export type Write =
  | {
      readonly kind: "insert";
      readonly table: Table;
      readonly rows: PayloadRows;
      readonly conflict: Conflict | undefined;
    }
  | {
      readonly kind: "update";
      readonly table: Table;
      readonly rows: PayloadRows;
      readonly where: readonly Predicate[];
    }
  | { readonly kind: "delete"; readonly table: Table; readonly where: readonly Predicate[] };

export interface PayloadRows {
  readonly payload: JsonPayload;
  readonly columns: readonly Column[];
  /** A column that a row does not give gets its default; otherwise null. */
  readonly defaults: boolean;
}

export interface Conflict {
  readonly columns: readonly string[];
  readonly action: "merge" | "ignore";
}

type WriteRequest = Extract<ParsedRequest, { kind: "insert" | "update" | "delete" }>;

export function planWrite(request: WriteRequest, table: Table, said: Said): Write {
  switch (request.kind) {
    case "insert": {
      const conflict = planConflict(request, table);
      return { kind: "insert", table, rows: planRows(request, table), conflict };
    }
    case "update":
      return { kind: "update", table, rows: planRows(request, table), where: planConditions(table, said) };
    case "delete":
      return { kind: "delete", table, where: planConditions(table, said) };
  }
}

function planRows(request: Extract<WriteRequest, { payload: unknown }>, table: Table): PayloadRows {
  const { payload, preferences } = request;
  const columns = payload.keys.map((key) => {
    const column = table.columns.get(key);
    if (column === undefined) throw columnNotFoundError(table, key);
    return column;
  });
  return { payload, columns, defaults: preferences.missing === "default" };
}

/** On which columns rows meet: the named ones, or the primary key. A table without either cannot be upserted into. */
function planConflict({ preferences, query }: WriteRequest, table: Table): Conflict | undefined {
  if (preferences.resolution === undefined) return undefined;
  const columns = query.onConflict ?? table.primaryKey;
  if (columns.length === 0) return undefined;
  return { columns, action: preferences.resolution === "merge-duplicates" ? "merge" : "ignore" };
}
