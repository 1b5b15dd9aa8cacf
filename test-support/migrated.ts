import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { applyMigrations } from "../packages/local-supabase/src/database/migrations/apply-migrations.ts";
import { readMigrations } from "../packages/local-supabase/src/database/migrations/read-migrations.ts";
import { openPglite } from "../packages/local-supabase/src/database/open-pglite.ts";
import { copyPrepared, preparedName } from "../packages/local-supabase/src/database/prepared-folder.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The folder that `supabase db push` and the local stack apply. */
export const migrationsDir: string = join(root, "supabase", "migrations");

/**
 * `target` becomes the cluster of a database with all of our migrations and nothing in it. Applying them takes two seconds, so it is
 * done once and copied. A copy has the epoch of all others until it gets a new one.
 */
export async function copyMigrated(target: string): Promise<void> {
  const make = async (folder: string): Promise<void> => {
    const database = await openPglite({ dataDir: folder });
    try {
      await applyMigrations(database, migrationsDir);
    } finally {
      await database.close();
    }
    lessenMemory(folder);
  };
  await copyPrepared({ name: migratedName(), make }, target);
}

const lessMemory = "shared_buffers = 16MB\n";

/** Clearing what Postgres reserves by default, 128 MB, is half of what opening a folder costs; no test has so many rows. */
export function lessenMemory(folder: string): void {
  appendFileSync(join(folder, "postgresql.conf"), lessMemory);
}

/** Whether the migrations of `folder` begin with all of ours. */
export function beginsWithOurs(folder: string): boolean {
  const found = readMigrations(folder);
  return readMigrations(migrationsDir).every(
    ({ version, contentHash }, i) => found[i]?.version === version && found[i].contentHash === contentHash,
  );
}

/** Changes with the migrations, with how they are applied, and with what they are applied to. */
function migratedName(): string {
  const applying = join(root, "packages", "local-supabase", "src", "database", "migrations");
  const hash = createHash("sha256").update(preparedName()).update(lessMemory);
  for (const file of ["apply-migrations.ts", "read-migrations.ts", "split-statements.ts"]) {
    hash.update(readFileSync(join(applying, file)));
  }
  for (const { version, contentHash } of readMigrations(migrationsDir)) hash.update(version + contentHash);
  return `prepared-${hash.digest("hex").slice(0, 16)}`;
}
