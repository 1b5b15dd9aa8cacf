import type { PayloadRows } from "../plan/plan-write.ts";
import type { JsonPayload } from "../request/payload.ts";
import type { Column } from "../schema/schema-cache.ts";
import { identifier, joined, sql, trusted, value, type Sql } from "./sql.ts";

/** The body's rows as columns of `pgrst_body`, each of its column's type, typed by Postgres from the text as it came. */
export function bodyRowsSql(
  payload: JsonPayload,
  columns: readonly { readonly name: string; readonly type: string }[],
): Sql {
  const document = sql`${value(payload.text)}::json`;
  if (columns.length === 0) {
    // No member to read: as many rows as there are objects.
    return payload.shape === "object"
      ? sql`(select ${document}) as pgrst_body`
      : sql`json_array_elements(${document}) as pgrst_body`;
  }
  const reader = payload.shape === "object" ? sql`json_to_record` : sql`json_to_recordset`;
  return sql`${reader}(${document}) as pgrst_body(${definitionsSql(columns)})`;
}

/** As above, with the text of each row beside it as `pgrst_row.given`, to see what it does not give. */
export function bodyRowsWithTextSql(payload: JsonPayload, columns: readonly Column[]): Sql {
  const document = sql`${value(payload.text)}::json`;
  const rows =
    payload.shape === "object"
      ? sql`(select ${document} as given) as pgrst_row`
      : sql`json_array_elements(${document}) as pgrst_row(given)`;
  return sql`${rows}, lateral json_to_record(pgrst_row.given) as pgrst_body(${definitionsSql(columns)})`;
}

function definitionsSql(columns: readonly { readonly name: string; readonly type: string }[]): Sql {
  return joined(
    columns.map(({ name, type }) => sql`${identifier(name)} ${trusted(type)}`),
    ", ",
  );
}

/** Where a payload's rows come from, and the expression of each of its columns. */
export function payloadSql({ payload, columns, defaults }: PayloadRows): {
  readonly from: Sql;
  readonly values: readonly Sql[];
} {
  const given = ({ name }: Column): Sql => identifier("pgrst_body", name);
  if (!defaults || columns.every(({ defaultSql }) => defaultSql === undefined)) {
    return { from: bodyRowsSql(payload, columns), values: columns.map(given) };
  }
  const values = columns.map((column) =>
    column.defaultSql === undefined
      ? given(column)
      : sql`case when pgrst_row.given -> ${value(column.name)}::text is null then ${trusted(column.defaultSql)} else ${given(column)} end`,
  );
  return { from: bodyRowsWithTextSql(payload, columns), values };
}
