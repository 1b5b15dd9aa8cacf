import type { Relationship } from "./relationship.ts";

/** What we know of the database: enough to read a request by. Immutable; another load makes another one. */
export interface SchemaCache {
  /** By `schema` and `name`. */
  table(schema: string, name: string): Table | undefined;
  tableNames(schema: string): readonly string[];
  /** All functions of that name, fewest parameters first. */
  functions(schema: string, name: string): readonly DatabaseFunction[];
  functionNames(schema: string): readonly string[];
  /** Every way from that table or view to another one of the exposed schemas. */
  relationships(schema: string, table: string): readonly Relationship[];
  /** Whether requests may speak for this role. */
  allowsRole(role: string): boolean;
}

export interface Table {
  readonly schema: string;
  readonly name: string;
  readonly isView: boolean;
  readonly columns: ReadonlyMap<string, Column>;
  readonly primaryKey: readonly string[];
}

export interface Column {
  readonly name: string;
  /** As SQL writes it, qualified where it must be, without length or precision. */
  readonly type: string;
  /** As `type`, and for a domain what it is made of. */
  readonly baseType: string;
  /** The SQL expression, undefined where there is none. */
  readonly defaultSql: string | undefined;
}

export interface DatabaseFunction {
  readonly schema: string;
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly returns: FunctionResult;
  readonly returnsSet: boolean;
  readonly volatility: "immutable" | "stable" | "volatile";
  /** `set statement_timeout` of the function itself, as it was written. */
  readonly statementTimeout: string | undefined;
}

export interface Parameter {
  /** "" for a parameter without a name. */
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  readonly variadic: boolean;
}

export type FunctionResult =
  | { readonly kind: "void" }
  | { readonly kind: "scalar" }
  /** Rows, of `table` where they are those of a table or view. */
  | { readonly kind: "row"; readonly table: { readonly schema: string; readonly name: string } | undefined };
