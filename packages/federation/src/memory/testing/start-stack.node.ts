import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { startLocalSupabase } from "@agent-federation/local-supabase";
import { createClient, type SupabaseClient, type WebSocketLikeConstructor } from "@supabase/supabase-js";
import { WebSocket } from "ws";
import { createFreshDatabase, nativeUrl } from "../../../../../test-support/database.ts";

/** A local Supabase with our migrations, of a test's own: in memory, or on the native Postgres of TEST_DATABASE_URL. */
export interface TestStack {
  readonly url: string;
  readonly anonKey: string;
  readonly serviceRoleKey: string;
  readonly jwtSecret: string;
  close(): Promise<void>;
}

export async function startStack(): Promise<TestStack> {
  const fresh = nativeUrl === undefined ? undefined : await createFreshDatabase(nativeUrl);
  const stack = await startLocalSupabase({
    port: 0,
    migrationsDir: fileURLToPath(new URL("../../../../../supabase/migrations/", import.meta.url)),
    ...(fresh === undefined ? {} : { databaseUrl: fresh.url }),
  });
  const { url, anonKey, serviceRoleKey, jwtSecret } = stack;
  return {
    url,
    anonKey,
    serviceRoleKey,
    jwtSecret,
    close: async () => {
      await stack.close();
      await fresh?.drop();
    },
  };
}

/** The official client, with the service role key; on Node 20 it needs a WebSocket handed to it. */
export function serviceClient({ url, serviceRoleKey }: TestStack): SupabaseClient {
  // The constructors differ in static types only.
  return createClient(url, serviceRoleKey, {
    realtime: { transport: WebSocket as unknown as WebSocketLikeConstructor },
  });
}

/** Tests share a stack, and each has a tenant that nobody else has. */
export function freshTenant(): string {
  return `tenant-${randomUUID().slice(0, 13)}`;
}

/** What is called back, to be awaited in order. */
export class Arrivals<T> {
  readonly #arrived: T[] = [];
  readonly #waiting: ((value: T) => void)[] = [];

  readonly take = (value: T): void => {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#arrived.push(value);
    else waiting(value);
  };

  /** The next one, whether it is there already or still to come. */
  next(): Promise<T> {
    const [first, ...rest] = this.#arrived.splice(0);
    this.#arrived.push(...rest);
    if (first !== undefined) return Promise.resolve(first);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** What has arrived and nobody took. */
  get pending(): readonly T[] {
    return this.#arrived;
  }
}
