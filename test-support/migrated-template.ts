import { applyMigrations } from "../packages/local-supabase/src/database/migrations/apply-migrations.ts";
import { openNative } from "../packages/local-supabase/src/database/open-native.ts";
import { createFreshDatabase, nativeUrl } from "./database.ts";
import { migrationsDir } from "./migrated.ts";

/** Before a run on a native cluster: the database that the tests' own are copied from. After it, it is dropped. */
export default async function setUp(): Promise<(() => Promise<void>) | undefined> {
  if (nativeUrl === undefined) return undefined;
  const fresh = await createFreshDatabase(nativeUrl);
  try {
    const database = await openNative(fresh.url);
    try {
      await applyMigrations(database, migrationsDir);
      // A copy lacks the settings and rights of the database itself: so it is bootstrapped again.
      await database.query("comment on schema realtime is null");
    } finally {
      await database.close();
    }
  } catch (error) {
    await fresh.drop();
    throw error;
  }
  process.env["TEST_DATABASE_TEMPLATE"] = new URL(fresh.url).pathname.slice(1);
  return () => fresh.drop();
}
