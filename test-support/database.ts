import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Database } from "../packages/local-supabase/src/database/database.ts";
import { openNative } from "../packages/local-supabase/src/database/open-native.ts";
import { openPglite } from "../packages/local-supabase/src/database/open-pglite.ts";
import { withCleanup } from "../packages/local-supabase/src/database/with-cleanup.ts";

/** A superuser's URL of a native cluster; without it tests use the embedded database. */
export const nativeUrl: string | undefined = process.env["TEST_DATABASE_URL"] || undefined;

/** A bootstrapped database of its own, gone after `close()`. Embedded, or native with TEST_DATABASE_URL. */
export async function openTestDatabase(): Promise<Database> {
  if (nativeUrl === undefined) return await openPglite();
  const fresh = await createFreshDatabase(nativeUrl);
  try {
    return withCleanup(await openNative(fresh.url), () => fresh.drop());
  } catch (error) {
    await fresh.drop();
    throw error;
  }
}

export interface FreshDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** A database with a name of its own in the cluster that `clusterUrl` belongs to. */
export async function createFreshDatabase(clusterUrl: string): Promise<FreshDatabase> {
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  await asAdmin(clusterUrl, `create database ${name} template template0`);
  const url = new URL(clusterUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => asAdmin(clusterUrl, `drop database if exists ${name} with (force)`) };
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
