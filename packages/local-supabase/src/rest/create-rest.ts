import { DatabaseError, type Database } from "../database/database.ts";
import { describeSchema } from "./answer/describe.ts";
import { execute } from "./answer/execute.ts";
import { respond } from "./answer/respond.ts";
import { fromDatabaseError } from "./errors/database-errors.ts";
import { RestError } from "./errors/rest-error.ts";
import { isCacheMiss } from "./errors/schema-errors.ts";
import { planRequest, type Plan } from "./plan/plan.ts";
import { parseRequest, type ParsedRequest } from "./request/request.ts";
import type { Rest, RestOptions, RestRequest, RestRequestText, RestResponse } from "./rest.ts";
import { CachedSchema } from "./schema/cached-schema.ts";
import type { RequestSettings } from "./sql/settings.sql.ts";

/** REST over `database`. Reads the schema first, and again whenever `notify pgrst` says that it changed. */
export async function createRest(database: Database, options: RestOptions): Promise<Rest> {
  const schema = await CachedSchema.open(database, options.schemas);
  return {
    async answer(request) {
      try {
        return await answer(database, schema, options, { ...request, body: textOf(request.body) });
      } catch (error) {
        return failure(error, request).toResponse();
      }
    },
  };
}

function textOf(body: RestRequest["body"]): string {
  return typeof body === "string" ? body : Buffer.from(body).toString("utf8");
}

/** Parse, plan, run, respond: what each step finds wrong is thrown as RestError or DatabaseError. */
async function answer(
  database: Database,
  schema: CachedSchema,
  options: RestOptions,
  request: RestRequestText,
): Promise<RestResponse> {
  const parsed = parseRequest(request, options);
  await checkRole(database, schema, request.credential.role);
  if (parsed.kind === "describe") return describeSchema(await schema.current(), parsed);
  const plan = await withFreshSchema(schema, (cache) => planRequest(parsed, cache, options.maxRows));
  const outcome = await execute(database, settingsFor(request, parsed, plan, options), plan, {
    representation: parsed.representation,
    preferences: parsed.preferences,
    headersOnly: request.method === "HEAD",
    maxRows: options.maxRows,
  });
  const response = respond(parsed, plan, outcome);
  return request.method === "HEAD" ? { ...response, body: "" } : response;
}

/** What is missing may have been made a moment ago: look once more before saying so. */
async function withFreshSchema<T>(
  schema: CachedSchema,
  run: (cache: Awaited<ReturnType<CachedSchema["current"]>>) => T,
): Promise<T> {
  try {
    return run(await schema.current());
  } catch (error) {
    if (!isCacheMiss(error)) throw error;
    return run(await schema.reload());
  }
}

/** Only roles that `authenticator` may become, as Postgres itself would insist if we connected as that role. */
async function checkRole(database: Database, schema: CachedSchema, role: string): Promise<void> {
  if ((await schema.current()).allowsRole(role) || (await schema.reload()).allowsRole(role)) return;
  const known = await database.query("select from pg_catalog.pg_roles where rolname = $1", [role]);
  const facts = { detail: null, hint: null, constraint: null, position: null };
  throw known.rows.length > 0
    ? new DatabaseError({ ...facts, code: "42501", message: `permission denied to set role "${role}"` })
    : new DatabaseError({ ...facts, code: "22023", message: `role "${role}" does not exist` });
}

function settingsFor(
  { credential, method, path, headers }: RestRequest,
  { schema, preferences }: ParsedRequest,
  plan: Plan,
  { statementTimeoutMs }: RestOptions,
): RequestSettings {
  const timeout = plan.kind === "call" ? plan.call.function.statementTimeout : undefined;
  return {
    searchPath: [...new Set([schema, "public", "extensions"])],
    role: credential.role,
    claims: credential.claims,
    method,
    path,
    headers,
    statementTimeout: timeout ?? String(statementTimeoutMs),
    timezone: preferences.timezone,
    readOnly: plan.kind === "read" || (plan.kind === "call" && plan.call.readOnly),
  };
}

function failure(error: unknown, { credential }: RestRequest): RestError {
  if (error instanceof RestError) return error;
  if (error instanceof DatabaseError) return fromDatabaseError(error, credential.role === "anon");
  // A bug of ours, or a database that went away: the caller can do nothing about either.
  const message = error instanceof Error ? error.message : String(error);
  return new RestError({ status: 500, code: "PGRSTX00", message: `Internal error: ${message}` });
}
