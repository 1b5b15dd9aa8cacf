import pg from "pg";
import { LocalSupabaseError } from "../start-error.ts";
import { bootstrap } from "./bootstrap/bootstrap.ts";
import { DatabaseError, type Database } from "./database.ts";
import { NativeDatabase } from "./native-database.ts";
import { NativeListener, type NativeListenerOptions } from "./native-listener.ts";

export interface NativeOptions {
  /** Postgres ends a statement that takes longer. 0 (the default) never. */
  readonly statementTimeoutMs?: number | undefined;
  /** Connections at most, besides the one that listens. Default 16. */
  readonly maxConnections?: number | undefined;
  readonly log?: NativeListenerOptions["log"] | undefined;
}

/** Bootstraps the database that `databaseUrl` names and opens a pool on it. Its user must be a superuser. */
export async function openNative(databaseUrl: string, options: NativeOptions = {}): Promise<Database> {
  const log = options.log ?? (() => undefined);
  if (!/^postgres(ql)?:\/\/./.test(databaseUrl) || !URL.canParse(databaseUrl)) {
    throw unsuitable("expected a URL such as postgresql://user@host:5432/name", "Correct the database URL.");
  }
  const client: pg.ClientConfig = {
    connectionString: databaseUrl,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    application_name: "supabase-local",
    options: "-c timezone=UTC",
  };
  const pool = new pg.Pool({
    ...client,
    pipeline: true,
    max: options.maxConnections ?? 16,
    statement_timeout: options.statementTimeoutMs ?? 0,
  });
  // An idle client that loses its connection leaves the pool by itself; the next one is new.
  pool.on("error", (error) => log("info", "an idle database connection dropped", { error: error.message }));
  const database = new NativeDatabase({ pool, listener: new NativeListener({ client, log }) });
  try {
    await checkServer(database, log);
    await bootstrap(database);
    return database;
  } catch (error) {
    await database.close();
    throw openingFailed(databaseUrl, error);
  }
}

async function checkServer(database: Database, log: NativeListenerOptions["log"]): Promise<void> {
  const found = await database.query(`
    select session_user, current_setting('is_superuser'), current_setting('server_version_num'),
      exists (select from pg_available_extensions where name = 'vector')`);
  const [user, isSuperuser, version, hasVector] = found.rows[0] ?? [];
  if (Number(version) < 150_000) {
    throw unsuitable(`expected Postgres 15 or newer, found ${version}`, "Use a newer server.");
  }
  if (isSuperuser !== "on") {
    throw unsuitable(`expected a superuser, "${user}" is none`, "Name a superuser in the database URL.");
  }
  if (hasVector !== "t") log("info", "this Postgres has no pgvector; migrations that need it will fail");
  if (user === "postgres") {
    log(
      "info",
      "the database user postgres is a superuser, so migrations run with fewer limits than on Supabase",
    );
  }
}

function unsuitable(message: string, remedy: string): LocalSupabaseError {
  return new LocalSupabaseError("database", `database: ${message}`, { remedy });
}

function openingFailed(databaseUrl: string, error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error;
  return new LocalSupabaseError(
    "database",
    `open the database ${withoutPassword(databaseUrl)}: ${error.message}`,
    {
      remedy:
        "Check that the server runs and that host, port, user, password and database name in the URL are right.",
      cause: error,
    },
  );
}

function withoutPassword(databaseUrl: string): string {
  try {
    const url = new URL(databaseUrl);
    url.password = "";
    return url.href;
  } catch {
    return "(not a URL)";
  }
}
