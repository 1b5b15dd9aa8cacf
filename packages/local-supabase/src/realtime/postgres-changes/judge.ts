import type { Database } from "../../database/database.ts";
import { quoteIdentifier } from "../../database/quote.ts";
import type { Condition } from "./filter.ts";
import type { TableFacts } from "./table-facts.ts";

/** Who subscribes, as policies see it. Equal keys are equal in everything that a policy can look at. */
export interface Asker {
  readonly key: string;
  readonly role: string;
  readonly claimsJson: string;
}

/** A row that somebody is to see or not: JSON texts by column. */
export interface Candidate {
  readonly cells: ReadonlyMap<string, string>;
  /** Deletes are not bound by policies: the row is gone. */
  readonly isBound: boolean;
}

/** For each candidate: may it be seen, and which of the filters match it. */
export interface Verdict {
  readonly isVisible: boolean;
  readonly matches: readonly boolean[];
}

const unseen: Verdict = { isVisible: false, matches: [] };

/**
 * One question to Postgres for all candidates and filters, asked as the subscriber's role with its claims. A question
 * that fails, as a policy that raises makes it, is asked again for each half, so that one row harms itself only.
 */
export async function judge(
  database: Database,
  facts: TableFacts,
  asker: Asker,
  filters: readonly (readonly Condition[])[],
  candidates: readonly Candidate[],
  onFailure: (reason: string) => void,
): Promise<readonly Verdict[]> {
  const { question, operands, columns } = questionOf(
    facts,
    filters,
    candidates.some(({ isBound }) => isBound),
  );
  const rowsJson = `[${candidates.map(({ cells }) => rowJson(cells, columns)).join(",")}]`;
  try {
    const answer = await database.query("select realtime.ask_as($1, $2, $3, $4::jsonb, $5::text[])", [
      asker.role,
      asker.claimsJson,
      question,
      rowsJson,
      textArray(operands),
    ]);
    return read(answer.rows[0]?.[0] ?? "", candidates, filters.length);
  } catch (error) {
    if (candidates.length === 1) {
      onFailure(String(error));
      return [unseen];
    }
    const middle = candidates.length >> 1;
    const first = await judge(database, facts, asker, filters, candidates.slice(0, middle), onFailure);
    const second = await judge(database, facts, asker, filters, candidates.slice(middle), onFailure);
    return [...first, ...second];
  }
}

function questionOf(
  facts: TableFacts,
  filters: readonly (readonly Condition[])[],
  isBound: boolean,
): { question: string; operands: readonly string[]; columns: ReadonlySet<string> } {
  const table = `${quoteIdentifier(facts.schema)}.${quoteIdentifier(facts.table)}`;
  const keys = facts.columns.filter(({ isKey }) => isKey).map(({ name }) => name);
  const casts = new Map(facts.columns.map(({ name, cast }) => [name, cast]));
  const operands: string[] = [];
  const columns = new Set(isBound ? keys : []);
  const bits = filters.map((conditions) =>
    conditions.map((condition) => {
      columns.add(condition.column);
      operands.push(condition.value);
      return conditionSql(condition, casts.get(condition.column) ?? "text", operands.length);
    }),
  );
  const same = keys.map((key) => `x.${quoteIdentifier(key)} = t.${quoteIdentifier(key)}`).join(" and ");
  const visible = isBound ? `exists (select from ${table} x where ${same === "" ? "false" : same})` : "true";
  const answers = [visible, ...bits.map((conditions) => conditions.join(" and ") || "true")];
  const digits = answers.map((fact) => `case when ${fact} then '1' else '0' end`).join(" || ");
  const question = `select string_agg(${digits}, ' ' order by e.n)
    from jsonb_array_elements($1) with ordinality e(r, n), jsonb_populate_record(null::${table}, e.r) t`;
  return { question, operands, columns };
}

/** Unknown, as of a comparison with null, is no match; also negated. */
function conditionSql(
  { column, operator, value, isNegated }: Condition,
  cast: string,
  index: number,
): string {
  const left = `t.${quoteIdentifier(column)}`;
  const given = `$2[${index}]`;
  const sql = ((): string => {
    if (operator === "in") return `${left} = any(${given}::${cast}[])`;
    if (operator === "is") return `${left} is ${value.toLowerCase()}`; // one of four words: checked when it was subscribed to
    if (operator === "isdistinct") return `${left} is distinct from ${given}::${cast}`;
    const isPattern = patterns.has(operator);
    return `${left} ${comparisons[operator]} ${isPattern ? given : `${given}::${cast}`}`;
  })();
  return isNegated ? `not (${sql})` : `(${sql})`;
}

const patterns: ReadonlySet<string> = new Set(["like", "ilike", "match", "imatch"]);
const comparisons = {
  eq: "=", neq: "<>", lt: "<", lte: "<=", gt: ">", gte: ">=", like: "~~", ilike: "~~*", match: "~", imatch: "~*",
} as const; // prettier-ignore

function rowJson(cells: ReadonlyMap<string, string>, columns: ReadonlySet<string>): string {
  const members: string[] = [];
  for (const column of columns) {
    const cell = cells.get(column);
    if (cell !== undefined) members.push(`${JSON.stringify(column)}:${cell}`);
  }
  return `{${members.join(",")}}`;
}

function textArray(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replaceAll(/(["\\])/g, "\\$1")}"`).join(",")}}`;
}

function read(answer: string, candidates: readonly Candidate[], filterCount: number): readonly Verdict[] {
  const words = answer.split(" ");
  return candidates.map(({ isBound }, i) => {
    const word = words[i] ?? "";
    const isVisible = !isBound || word[0] === "1";
    return { isVisible, matches: Array.from({ length: filterCount }, (_, at) => word[at + 1] === "1") };
  });
}
