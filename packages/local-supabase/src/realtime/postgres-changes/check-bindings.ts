import type { Database } from "../../database/database.ts";
import type { Binding } from "./binding.ts";
import type { Condition } from "./filter.ts";
import type { Asker } from "./judge.ts";
import { publishedRelations, type FactsCache, type TableFacts } from "./table-facts.ts";
import { castError, problems, raised } from "./texts.ts";

const mostValues = 100;
const textTypes = ["text", "varchar", "bpchar", "name", "citext", "char"];

/** Undefined, or why not: the text for the client. Rejects where the database does not answer. */
export async function checkBindings(
  bindings: readonly Binding[],
  asker: Asker,
  parts: { readonly database: Database; readonly facts: FactsCache },
): Promise<string | undefined> {
  for (const binding of bindings) {
    const relations = await publishedRelations(parts.database, binding.schema, binding.table);
    if (relations.length === 0) return problems.notPublished(binding);
    if (binding.conditions.length === 0 && binding.select === undefined) continue;
    for (const relation of relations) {
      const facts = await parts.facts.get(relation, asker.role);
      if (facts === undefined) return problems.notPublished(binding);
      const objection =
        objectionTo(binding, facts) ?? (await castProblem(binding, facts, asker, parts.database));
      if (objection !== undefined) return problems.exception(binding, objection);
    }
  }
  return undefined;
}

function objectionTo({ conditions, select = [] }: Binding, { columns }: TableFacts): string | undefined {
  const selectable = new Map(
    columns.filter(({ isSelectable }) => isSelectable).map((one) => [one.name, one.type]),
  );
  for (const condition of conditions) {
    const type = selectable.get(condition.column);
    if (type === undefined) return raised(`invalid column for filter ${condition.column}`);
    const objection = objectionToValue(condition, type);
    if (objection !== undefined) return raised(objection);
  }
  const unknown = select.find((name) => !selectable.has(name));
  return unknown === undefined ? undefined : raised(`invalid column for select ${unknown}`);
}

function objectionToValue({ column, operator, value, count }: Condition, type: string): string | undefined {
  if (operator === "in" && count > mostValues)
    return `too many values for \`in\` filter. Maximum ${mostValues}`;
  if (operator === "is") {
    const word = value.toLowerCase();
    if (!["null", "true", "false", "unknown"].includes(word))
      return `invalid value for \`is\` filter: ${value}`;
    if (word !== "null" && type !== "bool")
      return `\`is\` filter with ${word} needs a boolean column, ${column} is none`;
  }
  const isPattern = ["like", "ilike", "match", "imatch"].includes(operator);
  if (isPattern && !textTypes.includes(type))
    return `\`${operator}\` filter needs a text column, ${column} is none`;
  return value.includes("\0") ? "a text has no zero byte" : undefined;
}

/** Values are read as the column's type by the role that brings them. */
async function castProblem(
  { conditions }: Binding,
  { columns }: TableFacts,
  asker: Asker,
  database: Database,
): Promise<string | undefined> {
  for (const { column, operator, value } of conditions) {
    if (operator === "is") continue;
    const cast = columns.find(({ name }) => name === column)?.cast ?? "text";
    const isRegex = operator === "match" || operator === "imatch";
    const question = isRegex
      ? "select realtime.pattern_problem($2[1])"
      : "select realtime.cast_problem($2[1], $2[2])";
    const operands = JSON.stringify([value, operator === "in" ? `${cast}[]` : cast]);
    const { rows } = await database.query(
      "select realtime.ask_as($1, $2, $3, null, array(select jsonb_array_elements_text($4::jsonb)))",
      [asker.role, asker.claimsJson, question, operands],
    );
    const problem = rows[0]?.[0];
    if (problem != null) return castError(problem);
  }
  return undefined;
}
