import { randomUUID } from "node:crypto";
import type { Database, QueryResult, Session } from "../packages/local-supabase/src/database/database.ts";
import { openMigratedDatabase } from "./database.ts";

/** Who runs a statement, as the REST layer and Realtime would set it. */
export type Caller =
  | { readonly kind: "agent"; readonly tenant: string; readonly agent: string }
  | { readonly kind: "claims"; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly kind: "service" }
  | { readonly kind: "anon" }
  /** `set role authenticated` in a plain SQL session, without a token. */
  | { readonly kind: "plain"; readonly tenant?: string; readonly agent?: string }
  /** The role that migrations and the SQL editor run as, without a token. */
  | { readonly kind: "postgres" };

export const service: Caller = { kind: "service" };
export const anon: Caller = { kind: "anon" };
export const postgres: Caller = { kind: "postgres" };
export function agent(tenant: string, name: string): Caller {
  return { kind: "agent", tenant, agent: name };
}
export function newTenant(): string {
  return `tenant-${randomUUID()}`;
}

export { openMigratedDatabase as openFederationDatabase };

/** One transaction as `caller`. */
export async function as<T>(
  database: Database,
  caller: Caller,
  run: (session: Session) => Promise<T>,
): Promise<T> {
  return await database.transaction(async (session) => {
    await become(session, caller);
    return await run(session);
  });
}

/** For the rest of this transaction. */
export async function become(session: Session, caller: Caller): Promise<void> {
  const claims = claimsOf(caller);
  await session.query("select set_config('request.jwt.claims', $1, true)", [
    claims === undefined ? "" : JSON.stringify(claims),
  ]);
  if (caller.kind === "plain") {
    await session.query(
      "select set_config('app.current_tenant', $1, true), set_config('app.current_agent', $2, true)",
      [caller.tenant ?? "", caller.agent ?? ""],
    );
  }
  await session.query(`set local role ${roleOf(caller)}`);
}

function roleOf(caller: Caller): string {
  if (caller.kind === "service") return "service_role";
  if (caller.kind === "anon" || caller.kind === "postgres") return caller.kind;
  return "authenticated";
}

function claimsOf(caller: Caller): Readonly<Record<string, unknown>> | undefined {
  switch (caller.kind) {
    case "agent":
      return {
        role: "authenticated",
        sub: "6b1f5f4e-6f0c-4c5e-9d55-0f6a3d1f0001",
        app_metadata: { tenant_id: caller.tenant, agent_id: caller.agent },
      };
    case "claims":
      return caller.claims;
    case "service":
      return { role: "service_role" };
    case "anon":
      return { role: "anon" };
    case "plain":
    case "postgres":
      return undefined;
  }
}

/** Values for SQL: undefined stands for a parameter that is left out, objects go as JSON, arrays of text as SQL arrays. */
export type Argument = string | number | boolean | null | undefined | readonly string[] | object;

/** Every row of `public.<name>(…)`, called with named arguments as PostgREST calls it. */
export async function rpcRows<T = unknown>(
  session: Session,
  name: string,
  args: Readonly<Record<string, Argument>> = {},
): Promise<T[]> {
  const given = Object.entries(args).filter(([, value]) => value !== undefined);
  const list = given.map(([key], index) => `"${key}" => $${index + 1}`).join(", ");
  const { rows } = await session.query(
    `select to_json(answer) from public."${name}"(${list}) as answer`,
    given.map(([, value]) => toSql(value)),
  );
  // The caller says what the function answers; the assertions of the test check it.
  return rows.map(([cell]) => JSON.parse(cell ?? "null") as T);
}

export async function rpc<T = unknown>(
  session: Session,
  name: string,
  args: Readonly<Record<string, Argument>> = {},
): Promise<T> {
  const [row] = await rpcRows<T>(session, name, args);
  // A function that answers one value answers one row.
  return row as T;
}

function toSql(value: Argument): string | null {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) {
    return `{${value.map((one) => `"${one.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`;
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** `rpc` in a transaction of its own. */
export async function call<T = Record<string, unknown>>(
  database: Database,
  caller: Caller,
  name: string,
  args: Readonly<Record<string, Argument>> = {},
): Promise<T> {
  return await as(database, caller, async (session) => await rpc<T>(session, name, args));
}

/** `rpcRows` in a transaction of its own. */
export async function callRows<T = Record<string, unknown>>(
  database: Database,
  caller: Caller,
  name: string,
  args: Readonly<Record<string, Argument>> = {},
): Promise<T[]> {
  return await as(database, caller, async (session) => await rpcRows<T>(session, name, args));
}

/** A statement in a transaction of its own. */
export async function sql(
  database: Database,
  caller: Caller,
  text: string,
  params: readonly (string | null)[] = [],
): Promise<QueryResult> {
  return await as(database, caller, async (session) => await session.query(text, params));
}

export interface Announcement {
  readonly topic: string;
  readonly event: string;
  readonly payload: Record<string, unknown>;
}

/** What the database announced in `tenant`, in the order it did. */
export async function announcements(database: Database, tenant: string): Promise<Announcement[]> {
  const { rows } = await database.query(
    `select json_build_object('topic', topic, 'event', event, 'payload', payload) from realtime.messages
     where topic = $1 or starts_with(topic, $1 || ':') order by inserted_at, ctid`,
    [`federation:${tenant}`],
  );
  return rows.map(([cell]) => JSON.parse(cell ?? "null") as Announcement);
}
