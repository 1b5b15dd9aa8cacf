import { fileURLToPath } from "node:url";
import { createClient, type SupabaseClient, type WebSocketLikeConstructor } from "@supabase/supabase-js";
import { WebSocket } from "ws";
import { startTestStack } from "../../../../../test-support/stack.ts";

export { freshTenant } from "../../../../../test-support/stack.ts";

/** A local Supabase with our migrations, of a test's own. */
export type TestStack = Awaited<ReturnType<typeof startTestStack>>;

export async function startStack(options: Parameters<typeof startTestStack>[0] = {}): Promise<TestStack> {
  const migrationsDir = fileURLToPath(new URL("../../../../../supabase/migrations/", import.meta.url));
  return await startTestStack({ migrationsDir, ...options });
}

/** The official client, with the service role key; on Node 20 it needs a WebSocket handed to it. */
export function serviceClient({
  url,
  serviceRoleKey,
}: Pick<TestStack, "url" | "serviceRoleKey">): SupabaseClient {
  // The constructors differ in static types only.
  return createClient(url, serviceRoleKey, {
    realtime: { transport: WebSocket as unknown as WebSocketLikeConstructor },
  });
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
