import type { Plan } from "../plan/plan.ts";
import { neededColumns, type ReadNode } from "../plan/read-plan.ts";
import type { Plan as ExplainPlan, Representation } from "../request/media-type.ts";
import type { Preferences } from "../request/preferences.ts";
import { callSql, scalarColumn } from "./call.sql.ts";
import { countSql, producedRows, readSql } from "./read.sql.ts";
import { joined, nothing, sql, trusted, value, type Sql } from "./sql.ts";
import { insertedSql, writeSql } from "./write.sql.ts";

export interface AnswerOptions {
  readonly representation: Representation;
  readonly preferences: Preferences;
  /** No body is wanted. */
  readonly headersOnly: boolean;
  readonly maxRows: number;
}

/**
 * The one statement of a request. It answers one row: how many `rows` there are in the answer and what functions set as
 * response `headers` and `status`; where asked for, the `total` without limits, the `body`, the `location` of a new row,
 * and how many rows were `inserted`.
 */
export function statementSql(plan: Plan, options: AnswerOptions): Sql {
  const statement = answerSql(plan, options);
  const { plan: explain } = options.representation;
  return explain === undefined ? statement : explainSql(explain, statement);
}

function answerSql(plan: Plan, options: AnswerOptions): Sql {
  const { preferences, representation, headersOnly } = options;
  const wantsRows = plan.kind !== "write" || preferences.representation === "representation";
  // Every column costs; what nobody asked for is left out.
  const total = plan.kind === "write" ? undefined : totalSql(plan.node, options);
  const body = headersOnly || !wantsRows ? undefined : bodySql(plan, representation);
  const location = locationSql(plan, options);
  const upsert =
    plan.kind === "write" && plan.write.kind === "insert" && plan.write.conflict?.action === "merge";
  const columns = [
    sql`count(*) as rows`,
    ...(total === undefined ? [] : [sql`${total} as total`]),
    ...(body === undefined ? [] : [sql`${body} as body`]),
    ...(location === undefined ? [] : [sql`${location} as location`]),
    ...(upsert ? [sql`${insertedSql} as inserted`] : []),
    sql`nullif(current_setting('response.headers', true), '') as headers`,
    sql`nullif(current_setting('response.status', true), '') as status`,
  ];
  const from = wantsRows ? sql`(${readSql(plan.node)}) as pgrst_rows` : producedRows;
  return sql`${producedSql(plan, options)}select ${joined(columns, ", ")} from ${from}`;
}

function producedSql(plan: Plan, { preferences }: AnswerOptions): Sql {
  switch (plan.kind) {
    case "read":
      return nothing;
    case "write":
      return sql`with ${producedRows} as (${writeSql(plan.write, returning(plan, preferences))}) `;
    case "call": {
      // Nobody reads what a void function returns; without this a stable one would not be run at all.
      const kept = plan.call.function.returns.kind === "void" ? sql`materialized ` : nothing;
      return sql`with ${producedRows} as ${kept}(${callSql(plan.call)}) `;
    }
  }
}

function returning(
  { write, node }: Extract<Plan, { kind: "write" }>,
  preferences: Preferences,
): readonly string[] {
  if (preferences.representation === "representation") return neededColumns(node);
  return preferences.representation === "headers-only" && write.kind === "insert"
    ? write.table.primaryKey
    : [];
}

/** How many rows there are without limit and offset. A page that is not full answers that by itself. */
function totalSql(node: ReadNode, { preferences, maxRows }: AnswerOptions): Sql | undefined {
  const { count } = preferences;
  if (count !== "exact" && count !== "estimated") return undefined;
  const all = countSql(node);
  const rows = count === "estimated" ? sql`${all} limit ${value(maxRows + 1)}` : all;
  const counted = sql`(select count(*) from (${rows}) as pgrst_all)`;
  const { limit, offset } = node.window;
  if (limit === undefined) return counted;
  const least = sql`${trusted(offset === 0 ? "0" : "1")}`;
  return sql`case when count(*) between ${least} and ${trusted(String(limit - 1))} then ${trusted(String(offset))} + count(*) else ${counted} end`;
}

/** The statement whose estimate `count=planned` and `count=estimated` ask for. */
export function plannedCountSql(plan: Plan, options: AnswerOptions): Sql {
  return sql`explain (format json) ${producedSql(plan, options)}${countSql(plan.node)}`;
}

function bodySql(plan: Plan, { shape, stripNulls }: Representation): Sql {
  const returns = plan.kind === "call" ? plan.call.function : undefined;
  const isRow = returns === undefined || returns.returns.kind === "row";
  // With the asterisk it is the row, even where a column is called like it.
  const row = isRow ? sql`pgrst_rows.*` : sql`pgrst_rows.${scalarColumn}`;
  const single = shape === "object" || (returns !== undefined && !returns.returnsSet);
  // Not `json_agg(…) -> 0`, which parses all of it once more.
  const list = single ? sql`(array_agg(to_json(${row})))[1]` : sql`json_agg(${row})`;
  const stripped = stripNulls ? sql`json_strip_nulls(${list})` : list;
  return sql`coalesce(${stripped}, ${single ? sql`'null'` : sql`'[]'`})`;
}

/** The key of the one new row, as a JSON object of texts. */
function locationSql(plan: Plan, { preferences }: AnswerOptions): Sql | undefined {
  const wanted =
    plan.kind === "write" &&
    plan.write.kind === "insert" &&
    preferences.representation === "headers-only" &&
    plan.write.table.primaryKey.length > 0;
  if (!wanted) return undefined;
  const key = sql`select json_object_agg(member.key, member.value) from ${producedRows} as pgrst_new, json_each_text(row_to_json(pgrst_new.*)) as member`;
  return sql`case when count(*) = 1 then (${key}) end`;
}

function explainSql({ format, options }: ExplainPlan, statement: Sql): Sql {
  return sql`explain (${trusted([`format ${format}`, ...options].join(", "))}) ${statement}`;
}
