import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { makePrivateFolder } from "../packages/local-supabase/src/database/open-pglite.ts";
import {
  startLocalSupabase,
  type LocalSupabase,
  type LocalSupabaseOptions,
} from "../packages/local-supabase/src/index.ts";
import { createFreshDatabase, createMigratedDatabase, nativeUrl } from "./database.ts";
import { beginsWithOurs, copyMigrated } from "./migrated.ts";

export { openTestDatabase } from "./database.ts";

/**
 * A local Supabase on a free port: embedded, or with TEST_DATABASE_URL in a fresh database of that cluster, which its
 * close() drops. Where the migrations begin with ours, the database is one that has them.
 */
export async function startTestStack(options: LocalSupabaseOptions = {}): Promise<LocalSupabase> {
  const { migrationsDir, dataDir } = options;
  const isOurs = migrationsDir !== undefined && beginsWithOurs(migrationsDir);
  const start = async (place: LocalSupabaseOptions): Promise<LocalSupabase> => {
    const stack = await startLocalSupabase({ port: 0, ...place, ...options });
    if (isOurs) await renewEpoch(stack);
    return stack;
  };
  if (nativeUrl !== undefined) {
    const fresh = await (isOurs ? createMigratedDatabase : createFreshDatabase)(nativeUrl);
    return await startRemoving(
      () => start({ databaseUrl: fresh.url }),
      () => fresh.drop(),
    );
  }
  if (dataDir !== undefined || !isOurs) return await start({});
  const folder = makePrivateFolder();
  return await startRemoving(
    async () => {
      await copyMigrated(join(folder, "db"));
      return await start({ dataDir: folder });
    },
    () => rm(folder, { recursive: true, force: true }),
  );
}

/** What `start` needs is removed when its stack is closed, or when it fails. */
async function startRemoving(
  start: () => Promise<LocalSupabase>,
  remove: () => Promise<void>,
): Promise<LocalSupabase> {
  try {
    const stack = await start();
    let closing: Promise<void> | undefined;
    const closeAndRemove = async (): Promise<void> => {
      await stack.close();
      await remove();
    };
    const close = (): Promise<void> => (closing ??= closeAndRemove());
    return { ...stack, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A copy is to be a database of its own, which no cursor of another means. */
async function renewEpoch({ url, serviceRoleKey }: LocalSupabase): Promise<void> {
  const headers = { apikey: serviceRoleKey };
  const answer = await fetch(`${url}/rest/v1/rpc/new_epoch`, { method: "POST", headers });
  if (!answer.ok) throw new Error(`new_epoch: ${answer.status} ${await answer.text()}`);
}

/** A tenant that no other test has. */
export function freshTenant(): string {
  return `tenant-${randomUUID()}`;
}

/** Servers and threads of this process. The same before a start and after its close; clients' sockets are not counted. */
export function serversAndThreads(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((kind) => kind === "TCPServerWrap" || kind === "MessagePort")
    .sort();
}
