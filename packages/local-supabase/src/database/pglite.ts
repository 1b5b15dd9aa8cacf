import { PGlite } from "@electric-sql/pglite";
import { btree_gin } from "@electric-sql/pglite/contrib/btree_gin";
import { btree_gist } from "@electric-sql/pglite/contrib/btree_gist";
import { citext } from "@electric-sql/pglite/contrib/citext";
import { fuzzystrmatch } from "@electric-sql/pglite/contrib/fuzzystrmatch";
import { hstore } from "@electric-sql/pglite/contrib/hstore";
import { ltree } from "@electric-sql/pglite/contrib/ltree";
import { pg_trgm } from "@electric-sql/pglite/contrib/pg_trgm";
import { pgcrypto } from "@electric-sql/pglite/contrib/pgcrypto";
import { unaccent } from "@electric-sql/pglite/contrib/unaccent";
import { uuid_ossp } from "@electric-sql/pglite/contrib/uuid_ossp";
import { vector } from "@electric-sql/pglite-pgvector";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The superuser, as on a Supabase project. */
export const superuser = "supabase_admin";

const alwaysLoaded = { vector, pgcrypto, uuid_ossp };

// Each is unpacked and compiled at the start, all together 0.2 to 0.4 s, which only those pay who use them.
const optional = { pg_trgm, citext, hstore, ltree, unaccent, fuzzystrmatch, btree_gin, btree_gist };

/** Extensions that exist in the database only if they were loaded at its start. */
export const optionalExtensions: readonly string[] = Object.keys(optional);

/**
 * Starts Postgres on `folder`; an empty or missing folder is initialized first, which takes four seconds. Of the optional extensions
 * those named are loaded, unless told otherwise all.
 */
export async function startPglite(
  folder: string,
  extensions: readonly string[] = optionalExtensions,
): Promise<PGlite> {
  const named = Object.fromEntries(Object.entries(optional).filter(([name]) => extensions.includes(name)));
  return await PGlite.create({
    dataDir: folder,
    extensions: { ...alwaysLoaded, ...named },
    initDbStartParams: [`--username=${superuser}`, "--wal-segsize=1"],
    // PGlite's own, without -O (it opens the system tables to superusers). -F: no fsync; -j: statements end at the message.
    startParams: [
      "--single",
      "-F",
      "-j",
      ...settings({
        search_path: '"$user", public, extensions',
        timezone: "UTC",
        exit_on_error: "false",
        log_checkpoints: "false",
        max_worker_processes: "0",
        max_parallel_workers: "0",
        max_parallel_workers_per_gather: "0",
        max_parallel_maintenance_workers: "0",
        io_method: "sync",
      }),
    ],
  });
}

function settings(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** The versions of everything that decides what a data folder looks like. */
export function pgliteVersions(): string {
  const require = createRequire(import.meta.url);
  return ["@electric-sql/pglite", "@electric-sql/pglite-pgvector"]
    .map((name) => `${name}@${versionOf(require.resolve(name))}`)
    .join(" ");
}

function versionOf(entry: string): string {
  const description: unknown = JSON.parse(readFileSync(join(dirname(entry), "..", "package.json"), "utf8"));
  if (typeof description === "object" && description !== null && "version" in description) {
    return String(description.version);
  }
  throw new Error(`no version in the package.json above ${entry}`);
}
