import type { Database } from "../../database/database.ts";
import { introspectionSql } from "./introspection.sql.ts";
import { deriveRelationships } from "./derive-relationships.ts";
import {
  groupBy,
  tableKey,
  type ComputedRelationship,
  type ForeignKey,
  type TableName,
} from "./relationship.ts";
import type { Column, DatabaseFunction, Parameter, SchemaCache, Table } from "./schema-cache.ts";
import { resolveViewColumns, type NumberedTable, type ViewDefinition } from "./view-columns.ts";

/** Asks the database for tables, columns, relationships and functions of the exposed schemas: one query. */
export async function loadSchemaCache(database: Database, schemas: readonly string[]): Promise<SchemaCache> {
  const { rows } = await database.transaction(async (session) => {
    // Compiling this query takes a native Postgres half a second, running it ten milliseconds.
    await session.query("select set_config('search_path', '', true), set_config('jit', 'off', true)");
    return session.query(introspectionSql, [JSON.stringify(schemas)]);
  });
  // The query above is the only writer of this document.
  return buildSchemaCache(JSON.parse(rows[0]?.[0] ?? "") as IntrospectedSchema);
}

/** The document that `introspectionSql` answers. */
export interface IntrospectedSchema {
  readonly tables: readonly (TableName & {
    readonly isView: boolean;
    readonly columns: readonly (Omit<Column, "defaultSql"> & { readonly defaultSql: string | null })[];
    readonly primaryKey: readonly string[];
  })[];
  readonly views: readonly ViewDefinition[];
  readonly numbers: readonly NumberedTable[];
  readonly foreignKeys: readonly ForeignKey[];
  readonly functions: readonly {
    readonly schema: string;
    readonly name: string;
    readonly parameters: readonly Parameter[];
    readonly result: "void" | "scalar" | "row";
    readonly resultTable: TableName | null;
    readonly returnsSet: boolean;
    readonly volatility: DatabaseFunction["volatility"];
    readonly statementTimeout: string | null;
  }[];
  readonly computed: readonly Omit<ComputedRelationship, "kind">[];
  readonly roles: readonly string[];
}

/** Pure. */
export function buildSchemaCache(found: IntrospectedSchema): SchemaCache {
  const viewColumns = resolveViewColumns(found.views, found.numbers);
  const primaryKeys = new Map(found.tables.map((table) => [tableKey(table), table.primaryKey]));
  const tables = new Map<string, Table>();
  for (const table of found.tables) {
    const columns = table.columns.map(
      (c) => [c.name, { ...c, defaultSql: c.defaultSql ?? undefined }] as const,
    );
    const primaryKey = table.isView ? viewKey(table) : table.primaryKey;
    tables.set(tableKey(table), { ...table, columns: new Map(columns), primaryKey });
  }
  const functions = groupBy(found.functions.map(databaseFunction), tableKey);
  const computed = found.computed.map((c): ComputedRelationship => ({ kind: "computed", ...c }));
  const relationships = groupBy(
    deriveRelationships({ foreignKeys: found.foreignKeys, viewColumns, primaryKeys, computed }),
    ({ origin }) => tableKey(origin),
  );
  const roles = new Set(found.roles.length > 0 ? found.roles : ["anon", "authenticated", "service_role"]);

  return {
    table: (schema, name) => tables.get(tableKey({ schema, name })),
    tableNames: (schema) =>
      [...tables.values()].filter((table) => table.schema === schema).map(({ name }) => name),
    functions: (schema, name) => functions.get(tableKey({ schema, name })) ?? [],
    functionNames: (schema) => [
      ...new Set(found.functions.filter((f) => f.schema === schema).map(({ name }) => name)),
    ],
    relationships: (schema, name) => relationships.get(tableKey({ schema, name })) ?? [],
    allowsRole: (role) => roles.has(role),
  };

  /** A view has the key of the first table all of whose key columns it shows. */
  function viewKey(view: TableName): readonly string[] {
    const shown = viewColumns.filter((column) => tableKey(column.view) === tableKey(view));
    for (const source of groupBy(shown, (column) => tableKey(column.source)).entries()) {
      const [table, columns] = source;
      const key = (primaryKeys.get(table) ?? []).map(
        (name) => columns.find(({ sourceColumn }) => sourceColumn === name)?.column,
      );
      const complete = key.filter((name) => name !== undefined);
      if (key.length > 0 && complete.length === key.length) return complete;
    }
    return [];
  }
}

function databaseFunction(found: IntrospectedSchema["functions"][number]): DatabaseFunction {
  const { result, resultTable, statementTimeout, ...rest } = found;
  return {
    ...rest,
    returns: result === "row" ? { kind: "row", table: resultTable ?? undefined } : { kind: result },
    statementTimeout: statementTimeout ?? undefined,
  };
}
