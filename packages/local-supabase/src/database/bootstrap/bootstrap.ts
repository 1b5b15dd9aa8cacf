import { createHash } from "node:crypto";
import type { Database } from "../database.ts";
import { authSql } from "./auth.sql.ts";
import { extensionsSql } from "./extensions.sql.ts";
import { guardSql } from "./guard.sql.ts";
import { realtimeSql } from "./realtime.sql.ts";
import { reloadSql } from "./reload.sql.ts";
import { rolesSql } from "./roles.sql.ts";
import { rowChangesSql } from "./row-changes.sql.ts";
import { schemasSql } from "./schemas.sql.ts";

const steps = [rolesSql, schemasSql, extensionsSql, authSql, realtimeSql, rowChangesSql, guardSql, reloadSql];

/** Names this version of everything in this folder; a database that carries it needs nothing done. */
export const bootstrapVersion: string = createHash("sha256")
  .update(steps.join("\n"))
  .digest("hex")
  .slice(0, 16);

/**
 * Makes `database` what a new Supabase project is: roles, schemas, functions, publication. Needs a superuser session.
 * Running it again changes nothing. Ends with today's partitions of realtime.messages.
 */
export async function bootstrap(database: Database): Promise<void> {
  if ((await installedVersion(database)) !== bootstrapVersion) await install(database);
  await database.query("select realtime.keep_partitions()");
}

async function installedVersion(database: Database): Promise<SqlVersion> {
  const found = await database.query("select obj_description(to_regnamespace('realtime'), 'pg_namespace')");
  return found.rows[0]?.[0];
}

type SqlVersion = string | null | undefined;

async function install(database: Database): Promise<void> {
  // Roles belong to the cluster, advisory locks to one database: two databases set up at once meet at this lock.
  const script = [
    "begin; set local statement_timeout = 0; lock table pg_catalog.pg_authid in share row exclusive mode;",
    ...steps,
    `comment on schema realtime is '${bootstrapVersion}'; commit;`,
  ].join("\n");
  await database.exec(script);
}
