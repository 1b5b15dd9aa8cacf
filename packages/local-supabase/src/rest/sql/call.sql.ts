import type { Call, CallArguments } from "../plan/plan-call.ts";
import { bodyRowsSql } from "./payload.sql.ts";
import { identifier, joined, nothing, sql, trusted, value, type Sql } from "./sql.ts";

/** What a function that returns no rows returns is a column of this name. */
export const scalarColumn: Sql = sql`pgrst_scalar`;

/** The rows of a function call. */
export function callSql({ function: called, args }: Call): Sql {
  const call = sql`${identifier(called.schema, called.name)}(${argumentsSql(args)})`;
  const rows =
    called.returns.kind === "row"
      ? sql`${call} as pgrst_call`
      : sql`(select ${call} as ${scalarColumn}) as pgrst_call`;
  if (args.kind !== "members") return sql`select pgrst_call.* from ${rows}`;
  const { payload, parameters } = args;
  const body = bodyRowsSql(payload, parameters);
  const one = payload.shape === "array" ? sql`(select * from ${body} limit 1) as pgrst_body` : body;
  return sql`select pgrst_call.* from ${one}, lateral ${rows}`;
}

function argumentsSql(args: CallArguments): Sql {
  switch (args.kind) {
    case "none":
      return nothing;
    case "whole":
      return args.type === "bytea"
        ? sql`convert_to(${value(args.text)}::text, 'UTF8')`
        : sql`${value(args.text)}::${trusted(args.type)}`;
    case "values":
      return joined(
        args.values.map(
          ({ parameter, text }) =>
            sql`${identifier(parameter.name)} := ${value(text)}::${trusted(parameter.type)}`,
        ),
        ", ",
      );
    case "members":
      return joined(
        args.parameters.map(({ name }) => sql`${identifier(name)} := ${identifier("pgrst_body", name)}`),
        ", ",
      );
  }
}
