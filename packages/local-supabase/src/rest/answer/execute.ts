import type { Database, QueryResult, Session, Statement } from "../../database/database.ts";
import { maxAffectedError, parseError, singularityError } from "../errors/request-errors.ts";
import type { Plan } from "../plan/plan.ts";
import { settingsSql, type RequestSettings } from "../sql/settings.sql.ts";
import { sql, render, type Sql } from "../sql/sql.ts";
import { plannedCountSql, statementSql, type AnswerOptions } from "../sql/statement.sql.ts";

/** What the one statement of a request answered. */
export interface Outcome {
  readonly rows: number;
  readonly total: number | undefined;
  readonly body: string;
  readonly location: Readonly<Record<string, string>> | undefined;
  readonly inserted: number | undefined;
  /** The settings `response.headers` and `response.status`, if a function set them. */
  readonly headers: string | undefined;
  readonly status: string | undefined;
}

/** Runs a plan in one transaction. What must not stay (too many rows, `tx=rollback`) is rolled back. */
export async function execute(
  database: Database,
  settings: RequestSettings,
  plan: Plan,
  options: AnswerOptions,
): Promise<Outcome> {
  if (isDecided(settings, plan, options)) {
    const statements = [settingsSql(settings), statementSql(plan, options)].map(rendered);
    const [, result] = await database.batch(statements);
    return answerOf(result ?? noResult, plan, options);
  }
  try {
    return await database.transaction(async (session) => {
      await run(session, settingsSql(settings));
      const outcome = await answer(session, plan, options);
      if (options.preferences.transaction === "rollback") {
        await run(session, sql`set constraints all immediate`);
        throw new RolledBack(outcome);
      }
      return outcome;
    });
  } catch (error) {
    if (error instanceof RolledBack) return error.outcome;
    throw error;
  }
}

/** Carries the outcome out of a transaction that must not commit. */
class RolledBack extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super("rolled back on request");
    this.outcome = outcome;
  }
}

/** Whether nothing that is answered can lead to another statement, or to a rollback of something written. */
function isDecided({ readOnly }: RequestSettings, plan: Plan, options: AnswerOptions): boolean {
  const { representation, preferences } = options;
  const { count, transaction, maxAffected } = preferences;
  if (transaction === "rollback") return false;
  if (plan.kind !== "write" && (count === "planned" || count === "estimated")) return false;
  return readOnly || (representation.shape !== "object" && maxAffected === undefined);
}

async function answer(session: Session, plan: Plan, options: AnswerOptions): Promise<Outcome> {
  const { representation, preferences } = options;
  const outcome = answerOf(await run(session, statementSql(plan, options)), plan, options);
  if (representation.plan !== undefined) return outcome;
  const { count } = preferences;
  const tooMany = count === "estimated" && (outcome.total ?? 0) > options.maxRows;
  if (plan.kind === "write" || (count !== "planned" && !tooMany)) return outcome;
  const planned = plannedRows(await run(session, plannedCountSql(plan, options)));
  return { ...outcome, total: count === "planned" ? planned : Math.max(outcome.total ?? 0, planned) };
}

function answerOf(result: QueryResult, plan: Plan, options: AnswerOptions): Outcome {
  const { representation } = options;
  if (representation.plan !== undefined) return explained(result);
  const outcome = outcomeOf(result);
  if (representation.shape === "object" && outcome.rows !== 1) throw singularityError(outcome.rows);
  checkAffected(plan, outcome, options);
  return outcome;
}

const noResult: QueryResult = { columns: [], rows: [], affectedRows: 0 };

/** Their number is two bytes in Postgres' protocol. */
const maxParams = 65_535;

function run(session: Session, statement: Sql): Promise<QueryResult> {
  const { text, params } = rendered(statement);
  return session.query(text, params);
}

function rendered(statement: Sql): Statement {
  const { text, params } = render(statement);
  if (params.length > maxParams) throw parseError("failed to parse the query string", "too many values");
  return { text, params };
}

function outcomeOf({ columns, rows }: QueryResult): Outcome {
  const cell = (name: string): string | undefined => rows[0]?.[columns.indexOf(name)] ?? undefined;
  const number = (name: string): number | undefined => {
    const text = cell(name);
    return text === undefined ? undefined : Number(text);
  };
  const location = cell("location");
  return {
    rows: number("rows") ?? 0,
    total: number("total"),
    body: cell("body") ?? "",
    // Built by `json_object_agg` of texts.
    location: location === undefined ? undefined : (JSON.parse(location) as Readonly<Record<string, string>>),
    inserted: number("inserted"),
    headers: cell("headers"),
    status: cell("status"),
  };
}

function explained({ rows }: QueryResult): Outcome {
  const body = rows.map(([line]) => line ?? "").join("\n");
  const nothing = {
    total: undefined,
    location: undefined,
    inserted: undefined,
    headers: undefined,
    status: undefined,
  };
  return { rows: rows.length, body, ...nothing };
}

function checkAffected(plan: Plan, { rows }: Outcome, { preferences }: AnswerOptions): void {
  const { maxAffected, handling } = preferences;
  if (maxAffected === undefined || handling !== "strict" || rows <= maxAffected) return;
  if (plan.kind === "call" || (plan.kind === "write" && plan.write.kind !== "insert"))
    throw maxAffectedError(rows);
}

/** `explain (format json)` answers a list with one plan, whose `Plan Rows` is the estimate. */
function plannedRows({ rows }: QueryResult): number {
  const [, estimate] = /"Plan Rows":\s*(\d+)/.exec(rows.map(([line]) => line ?? "").join("\n")) ?? [];
  return Number(estimate ?? 0);
}
