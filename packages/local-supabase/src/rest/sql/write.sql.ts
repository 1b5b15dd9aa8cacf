import type { Write } from "../plan/plan-write.ts";
import type { Predicate } from "../plan/read-plan.ts";
import { payloadSql } from "./payload.sql.ts";
import { predicateSql } from "./predicate.sql.ts";
import { whereSql } from "./read.sql.ts";
import { identifier, joined, nothing, sql, type Sql } from "./sql.ts";

/** `returning` names what the answer needs; empty: nothing but the number of rows. */
export function writeSql(write: Write, returning: readonly string[]): Sql {
  const parts = writeParts(write, returning);
  return joined(
    parts.filter((part) => part !== nothing),
    " ",
  );
}

function writeParts(write: Write, returning: readonly string[]): readonly Sql[] {
  const table = identifier(write.table.schema, write.table.name);
  switch (write.kind) {
    case "insert":
      return [...insertSql(write, table), returningSql(write, returning)];
    case "update":
      return write.rows.columns.length === 0
        ? [sql`select ${returnedSql(write, returning)} from ${table} where false`]
        : [updateSql(write, table), conditionsSql(write.where), returningSql(write, returning)];
    case "delete":
      return [sql`delete from ${table}`, conditionsSql(write.where), returningSql(write, returning)];
  }
}

function insertSql({ rows, conflict }: Extract<Write, { kind: "insert" }>, table: Sql): readonly Sql[] {
  const names = rows.columns.map(({ name }) => identifier(name));
  const { from, values } = payloadSql(rows);
  const into = names.length === 0 ? table : sql`${table} (${joined(names, ", ")})`;
  const select = values.length === 0 ? sql`select` : sql`select ${joined(values, ", ")}`;
  const insert = sql`insert into ${into} ${select} from ${from}`;
  if (conflict === undefined) return [insert];
  const on = sql`on conflict (${joined(
    conflict.columns.map((name) => identifier(name)),
    ", ",
  )})`;
  if (conflict.action === "ignore") return [insert, sql`${on} do nothing`];
  const counting = sql`where ${countInsertedSql(1)}`;
  if (names.length === 0) return [insert, counting, sql`${on} do nothing`];
  const set = joined(
    rows.columns.map(({ name }) => sql`${identifier(name)} = ${identifier("excluded", name)}`),
    ", ",
  );
  return [insert, counting, sql`${on} do update set ${set} where ${countInsertedSql(-1)}`];
}

/**
 * Counts up for every row on its way in and down for every one that met an old row: what is left was inserted. Always
 * true. Nothing a `returning` can say tells the two apart without the right to read the table.
 */
function countInsertedSql(step: 1 | -1): Sql {
  const change = step === 1 ? sql`+ 1` : sql`- 1`;
  return sql`set_config('pgrst.inserted', (coalesce(${insertedSql}, 0) ${change})::text, true) is not null`;
}

export const insertedSql: Sql = sql`nullif(current_setting('pgrst.inserted', true), '')::int`;

function updateSql({ rows }: Extract<Write, { kind: "update" }>, table: Sql): Sql {
  const { from, values } = payloadSql(rows);
  const set = rows.columns.map(({ name }, at) => sql`${identifier(name)} = ${values[at] ?? sql`null`}`);
  return sql`update ${table} set ${joined(set, ", ")} from ${from}`;
}

function conditionsSql(where: readonly Predicate[]): Sql {
  return whereSql(
    where.map((predicate) =>
      predicateSql(predicate, () => {
        throw new Error("rows to write are not chosen by embedded relations");
      }),
    ),
  );
}

function returningSql(write: Write, returning: readonly string[]): Sql {
  return sql`returning ${returnedSql(write, returning)}`;
}

function returnedSql({ table }: Write, returning: readonly string[]): Sql {
  if (returning.length === 0) return sql`1`;
  const everything = returning.includes("*");
  // Beside all columns only what is none: a computed one.
  const named = everything ? returning.filter((name) => name !== "*" && !table.columns.has(name)) : returning;
  const columns = named.map((name) => identifier(table.name, name));
  return joined(everything ? [sql`${identifier(table.name)}.*`, ...columns] : columns, ", ");
}
