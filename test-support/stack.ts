import { randomUUID } from "node:crypto";
import {
  startLocalSupabase,
  type LocalSupabase,
  type LocalSupabaseOptions,
} from "../packages/local-supabase/src/index.ts";
import { createFreshDatabase, nativeUrl } from "./database.ts";

export { openTestDatabase } from "./database.ts";

/**
 * A local Supabase on a free port: embedded, or with TEST_DATABASE_URL in a fresh database of that cluster, which its
 * close() drops.
 */
export async function startTestStack(options: LocalSupabaseOptions = {}): Promise<LocalSupabase> {
  if (nativeUrl === undefined) return await startLocalSupabase({ port: 0, ...options });
  const fresh = await createFreshDatabase(nativeUrl);
  try {
    const stack = await startLocalSupabase({ port: 0, databaseUrl: fresh.url, ...options });
    let closing: Promise<void> | undefined;
    const closeAndDrop = async (): Promise<void> => {
      await stack.close();
      await fresh.drop();
    };
    const close = (): Promise<void> => (closing ??= closeAndDrop());
    return { ...stack, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await fresh.drop();
    throw error;
  }
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
