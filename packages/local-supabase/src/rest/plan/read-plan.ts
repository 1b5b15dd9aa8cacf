import type { JsonStep } from "../request/field.ts";
import type { Operation } from "../request/filter.ts";
import type { Window } from "../request/query-string.ts";
import type { TableName } from "../schema/relationship.ts";

/** Rows to read and what to read with them: one `select` of the statement, its embedded relations below it. */
export interface ReadNode {
  readonly source: Source;
  /** The name its rows have in the statement, unique there. */
  readonly alias: string;
  readonly columns: readonly OutputColumn[];
  readonly embeds: readonly Embed[];
  readonly where: readonly Predicate[];
  readonly order: readonly Ordering[];
  readonly window: Window;
  /** How it hangs on the node above; empty at the root and for computed relationships. */
  readonly joins: readonly Join[];
  readonly junction: { readonly table: TableName; readonly alias: string } | undefined;
}

export type Source =
  | { readonly kind: "table"; readonly table: TableName }
  /** The rows that the statement's own insert, update, delete or function call produced. */
  | { readonly kind: "produced" }
  | {
      readonly kind: "computed";
      readonly function: TableName;
      readonly argument: { readonly alias: string; readonly type: TableName };
    };

export interface Embed {
  /** Its key in the answer. */
  readonly name: string;
  /** What the rows it found, or their list, are called in the statement. */
  readonly alias: string;
  readonly toOne: boolean;
  readonly inner: boolean;
  /** Selects nothing: there only to filter. */
  readonly hidden: boolean;
  readonly node: ReadNode;
}

/** Equality of two columns. */
export interface Join {
  readonly left: { readonly alias: string; readonly column: string };
  readonly right: { readonly alias: string; readonly column: string };
}

export interface ColumnReference {
  /** Of the rows it belongs to. */
  readonly alias: string;
  readonly name: string;
  readonly path: readonly JsonStep[];
  /** Its type is not JSON, so a path needs it made JSON first. */
  readonly asJson: boolean;
}

export interface OutputColumn {
  readonly column: ColumnReference;
  readonly cast: string | undefined;
  /** Its key in the answer where that is not the column's name. */
  readonly as: string | undefined;
}

export interface Ordering {
  readonly column: ColumnReference;
  readonly direction: "asc" | "desc" | undefined;
  readonly nulls: "first" | "last" | undefined;
}

export type Predicate =
  | {
      readonly kind: "column";
      readonly column: ColumnReference;
      readonly negated: boolean;
      readonly operation: Operation;
      /** A text search in a column that is no tsvector. */
      readonly asWords: boolean;
    }
  /** Whether an embedded relation found something. */
  | { readonly kind: "embed"; readonly embed: string; readonly found: boolean }
  | { readonly kind: "and" | "or"; readonly negated: boolean; readonly terms: readonly Predicate[] };

/** The columns of its own that a node reads, or `*` where they cannot be told. */
export function neededColumns(node: ReadNode): readonly string[] {
  const own = new Set<string>();
  for (const { column } of node.columns) own.add(column.name);
  for (const { column } of node.order) if (column.alias === node.alias) own.add(column.name);
  for (const embed of node.embeds) {
    if (embed.node.source.kind === "computed") own.add("*");
    for (const side of embed.node.joins.flatMap(({ left, right }) => [left, right])) {
      if (side.alias === node.alias) own.add(side.column);
    }
  }
  return [...own];
}
