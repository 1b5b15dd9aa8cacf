import type { Embed, Join, Ordering, OutputColumn, ReadNode } from "../plan/read-plan.ts";
import { castTo, columnSql, predicateSql } from "./predicate.sql.ts";
import { identifier, joined, nothing, sql, trusted, value, type Sql } from "./sql.ts";

/** The rows of a request, embedded relations as JSON columns beside the row's own. */
export function readSql(node: ReadNode): Sql {
  const shown = node.embeds.filter(({ hidden }) => !hidden);
  const columns = [...node.columns.map(outputSql), ...shown.map(embedOutputSql)];
  const where = [
    ...node.joins.map(joinSql),
    ...node.where.map((predicate) => predicateSql(predicate, (embed) => foundSql(node, embed))),
  ];
  return joined(
    [
      // A relation that selects nothing only has to be there.
      sql`select ${columns.length === 0 && node.embeds.length === 0 ? sql`1 as found` : joined(columns, ", ")}`,
      sql`from ${fromSql(node)}`,
      ...node.embeds.map(lateralSql),
      whereSql(where),
      orderSql(node.order),
      windowSql(node),
    ].filter((part) => part !== nothing),
    " ",
  );
}

/** One row per root row, for counting: no limits, no columns, and embedded relations only where they filter. */
export function countSql(node: ReadNode): Sql {
  const inner = node.embeds.filter((embed) => embed.inner).map((embed) => existsSql(embed));
  const where = [
    ...node.joins.map(joinSql),
    ...node.where.map((predicate) => predicateSql(predicate, (embed) => existsSql(embedOf(node, embed)))),
    ...inner,
  ];
  return joined(
    [sql`select 1 from ${fromSql(node)}`, whereSql(where)].filter((part) => part !== nothing),
    " ",
  );
}

function existsSql(embed: Embed): Sql {
  return sql`exists (${countSql(embed.node)})`;
}

function embedOf(node: ReadNode, alias: string): Embed {
  const embed = node.embeds.find((candidate) => candidate.alias === alias);
  if (embed === undefined) throw new Error(`the plan names an embedded relation it does not have: ${alias}`);
  return embed;
}

function fromSql({ source, alias, junction }: ReadNode): Sql {
  const rows = sql`${sourceSql(source)} as ${identifier(alias)}`;
  if (junction === undefined) return rows;
  return sql`${rows}, ${identifier(junction.table.schema, junction.table.name)} as ${identifier(junction.alias)}`;
}

function sourceSql(source: ReadNode["source"]): Sql {
  switch (source.kind) {
    case "table":
      return identifier(source.table.schema, source.table.name);
    case "produced":
      return producedRows;
    case "computed": {
      const { argument } = source;
      const row = sql`${identifier(argument.alias)}::${identifier(argument.type.schema, argument.type.name)}`;
      return sql`${identifier(source.function.schema, source.function.name)}(${row})`;
    }
  }
}

/** What the `with` of a writing or calling statement is called. */
export const producedRows: Sql = sql`pgrst_source`;

function outputSql({ column, cast, as }: OutputColumn): Sql {
  const plain = columnSql(column);
  const expression = cast === undefined ? plain : castTo(cast, plain);
  return as === undefined ? expression : sql`${expression} as ${identifier(as)}`;
}

function embedOutputSql({ alias, name, toOne }: Embed): Sql {
  const found = toOne
    ? sql`row_to_json(${identifier(alias)}.*)`
    : sql`coalesce(${identifier(alias, "found")}, '[]')`;
  return sql`${found} as ${identifier(name)}`;
}

/** An embedded relation beside its row: the one row, or one row with the list of all. */
function lateralSql({ alias, toOne, inner, node }: Embed): Sql {
  const kind = inner ? sql`inner join lateral` : sql`left join lateral`;
  const rows = readSql(node);
  if (toOne) return sql`${kind} (${rows}) as ${identifier(alias)} on true`;
  const list = sql`select json_agg(pgrst_rows.*) as found from (${rows}) as pgrst_rows`;
  const on = inner ? sql`${identifier(alias, "found")} is not null` : sql`true`;
  return sql`${kind} (${list}) as ${identifier(alias)} on ${on}`;
}

function foundSql(node: ReadNode, alias: string): Sql {
  const { toOne } = embedOf(node, alias);
  return toOne
    ? sql`(${identifier(alias)}.* is distinct from null)`
    : sql`(${identifier(alias, "found")} is not null)`;
}

function joinSql({ left, right }: Join): Sql {
  return sql`${identifier(left.alias, left.column)} = ${identifier(right.alias, right.column)}`;
}

export function whereSql(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? nothing : sql`where ${joined(conditions, " and ")}`;
}

function orderSql(order: readonly Ordering[]): Sql {
  if (order.length === 0) return nothing;
  const terms = order.map(({ column, direction, nulls }) => {
    const by = direction === undefined ? "" : ` ${direction}`;
    return sql`${columnSql(column)}${trusted(`${by}${nulls === undefined ? "" : ` nulls ${nulls}`}`)}`;
  });
  return sql`order by ${joined(terms, ", ")}`;
}

function windowSql({ window }: ReadNode): Sql {
  const limit = window.limit === undefined ? nothing : sql`limit ${value(window.limit)}`;
  const offset = window.offset === 0 ? nothing : sql`offset ${value(window.offset)}`;
  const parts = [limit, offset].filter((part) => part !== nothing);
  return parts.length === 0 ? nothing : joined(parts, " ");
}
