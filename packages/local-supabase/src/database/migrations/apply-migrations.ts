import { LocalSupabaseError } from "../../start-error.ts";
import { DatabaseError, type Database, type Session } from "../database.ts";
import { quoteIdentifier } from "../quote.ts";
import { readMigrations, type Migration } from "./read-migrations.ts";
import { splitStatements, type Statement } from "./split-statements.ts";

/**
 * Applies what is missing, each file in one transaction with the row that records it, as `postgres` with the limits that
 * role has. Two processes may do it at the same time. Resolves to the files that were applied now.
 */
export async function applyMigrations(
  database: Database,
  folder: string,
  onBegin: (file: string) => void = () => undefined,
): Promise<string[]> {
  const migrations = readMigrations(folder);
  await database.transaction(async (session) => {
    await actAsPostgres(session);
    for (const sql of tableOfMigrations) await session.query(sql);
  });
  const applied: string[] = [];
  for (const migration of migrations) {
    if (await applyOnce(database, migration, onBegin)) applied.push(migration.file);
  }
  return applied;
}

/** The table of the Supabase CLI, and one column of ours. */
const tableOfMigrations = [
  "select pg_advisory_xact_lock(hashtext('supabase_migrations'))",
  "create schema if not exists supabase_migrations",
  `create table if not exists supabase_migrations.schema_migrations (
    version text primary key, statements text[], name text)`,
  "alter table supabase_migrations.schema_migrations add column if not exists content_hash text",
];

async function applyOnce(
  database: Database,
  migration: Migration,
  onBegin: (file: string) => void,
): Promise<boolean> {
  return await database.transaction(async (session) => {
    const superuser = await actAsPostgres(session);
    await session.query("select pg_advisory_xact_lock(hashtext('supabase_migrations'))");
    const recorded = await session.query(
      "select content_hash from supabase_migrations.schema_migrations where version = $1",
      [migration.version],
    );
    const known = recorded.rows[0];
    if (known !== undefined) {
      refuseChanged(migration, known[0] ?? undefined);
      return false;
    }
    onBegin(migration.file);
    const statements = splitStatements(migration.script);
    for (const statement of statements) {
      try {
        await runStatement(session, statement, superuser);
      } catch (error) {
        throw migrationFailed(migration, statement, error);
      }
    }
    // What a script sets for its session ends with it: the next statement may be somebody else's.
    await session.query("reset role");
    await session.query("reset all");
    await session.query(
      `insert into supabase_migrations.schema_migrations (version, name, statements, content_hash)
       values ($1, $2, array(select jsonb_array_elements_text($3::jsonb)), $4)`,
      [
        migration.version,
        migration.name,
        JSON.stringify(statements.map(({ text }) => text)),
        migration.contentHash,
      ],
    );
    await session.query(`set session authorization ${quoteIdentifier(superuser)}`);
    return true;
  });
}

/** For this transaction; `reset role` does not undo it. Resolves to the user of the session. */
async function actAsPostgres(session: Session): Promise<string> {
  const { rows } = await session.query("select session_user");
  await session.query("set local statement_timeout = 0");
  await session.query("set local session authorization postgres");
  return rows[0]?.[0] ?? "postgres";
}

async function runStatement(session: Session, { text }: Statement, superuser: string): Promise<void> {
  // The whole file is one transaction already.
  if (/^(begin|start\s+transaction|commit|end)(\s+(work|transaction))?$/i.test(text)) return;
  if (!isTrustedExtension(text)) {
    await session.query(text);
    return;
  }
  await session.query(`set local session authorization ${quoteIdentifier(superuser)}`);
  await session.query(text);
  await session.query("set local session authorization postgres");
}

/** Those that Supabase lets `postgres` create although Postgres asks for a superuser. */
const trustedExtensions: ReadonlySet<string> = new Set(
  (
    "vector pgcrypto uuid-ossp pg_trgm citext hstore ltree unaccent fuzzystrmatch btree_gin btree_gist intarray " +
    "tablefunc cube earthdistance isn moddatetime pg_stat_statements postgis pg_cron pg_net http pgtap pg_jsonschema " +
    "postgres_fdw dblink rum hypopg index_advisor pgmq pg_hashids pgrouting plpgsql_check pg_walinspect tsm_system_rows"
  ).split(" "),
);

function isTrustedExtension(text: string): boolean {
  const name = /^create\s+extension\s+(?:if\s+not\s+exists\s+)?"?([\w-]+)"?/i.exec(text)?.[1];
  return name !== undefined && trustedExtensions.has(name.toLowerCase());
}

function refuseChanged(migration: Migration, recordedHash: string | undefined): void {
  if (recordedHash === undefined || recordedHash === migration.contentHash) return;
  throw new LocalSupabaseError(
    "migration-changed",
    `migrations: ${migration.file} was applied before with other content`,
    { remedy: "Restore the file and put the change into a new migration, or start with a new database." },
  );
}

function migrationFailed(migration: Migration, statement: Statement, error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error;
  const place = placeOf(migration.script, statement, error.position);
  const facts = [error.message, error.detail, error.hint && `hint: ${error.hint}`].filter(Boolean).join("; ");
  return new LocalSupabaseError("migration-failed", `${migration.file}:${place}: ${facts} (${error.code})`, {
    remedy: "Correct the statement; nothing of this file was applied.",
    cause: error,
  });
}

/** "line:column". Postgres counts characters from the beginning of the statement. */
function placeOf(script: string, statement: Statement, position: number | null): string {
  const before = Array.from(statement.text)
    .slice(0, (position ?? 1) - 1)
    .join("").length;
  const lines = script.slice(0, statement.start + before).split("\n");
  return `${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`;
}
