import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import type { Database } from "../packages/local-supabase/src/database/database.ts";
import { applyMigrations } from "../packages/local-supabase/src/database/migrations/apply-migrations.ts";
import { openNative } from "../packages/local-supabase/src/database/open-native.ts";
import { makePrivateFolder, openPglite } from "../packages/local-supabase/src/database/open-pglite.ts";
import { fillFromPrepared } from "../packages/local-supabase/src/database/prepared-folder.ts";
import { withCleanup } from "../packages/local-supabase/src/database/with-cleanup.ts";
import { copyMigrated, lessenMemory, migrationsDir } from "./migrated.ts";

/** A superuser's URL of a native cluster; without it tests use the embedded database. */
export const nativeUrl: string | undefined = process.env["TEST_DATABASE_URL"] || undefined;

/** Beside it: a database of that cluster with all of our migrations, which `migrated-template.ts` makes for a run. */
const template = process.env["TEST_DATABASE_TEMPLATE"];

/** A bootstrapped database of its own, gone after `close()`. Embedded, or native with TEST_DATABASE_URL. */
export async function openTestDatabase(): Promise<Database> {
  if (nativeUrl === undefined) {
    return await openCopy(async (target) => {
      await fillFromPrepared(target);
      lessenMemory(target);
    });
  }
  return await openFresh(await createFreshDatabase(nativeUrl));
}

/** The same with all of our migrations and nothing in it. */
export async function openMigratedDatabase(): Promise<Database> {
  const database =
    nativeUrl === undefined
      ? await openCopy(copyMigrated)
      : await openFresh(await createMigratedDatabase(nativeUrl));
  try {
    await applyMigrations(database, migrationsDir);
    await database.query("select public.new_epoch()");
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function openFresh(fresh: FreshDatabase): Promise<Database> {
  try {
    return withCleanup(await openNative(fresh.url), () => fresh.drop());
  } catch (error) {
    await fresh.drop();
    throw error;
  }
}

async function openCopy(fill: (target: string) => Promise<void>): Promise<Database> {
  const folder = makePrivateFolder();
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    await fill(join(folder, "db"));
    return withCleanup(await openPglite({ dataDir: join(folder, "db") }), remove);
  } catch (error) {
    remove();
    throw error;
  }
}

export interface FreshDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** A database with a name of its own in the cluster that `clusterUrl` belongs to. */
export async function createFreshDatabase(
  clusterUrl: string,
  copied: string = "template0",
): Promise<FreshDatabase> {
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  await asAdmin(clusterUrl, `create database ${name} template ${copied}`);
  const url = new URL(clusterUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => asAdmin(clusterUrl, `drop database if exists ${name} with (force)`) };
}

/** One that has all of our migrations, where the run made a template, and the epoch of all others. */
export async function createMigratedDatabase(clusterUrl: string): Promise<FreshDatabase> {
  return await createFreshDatabase(clusterUrl, template);
}

async function asAdmin(clusterUrl: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: clusterUrl });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
