/** The server under attack, in a process of its own. Ends with its parent. */
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { startLocalSupabase } from "@agent-federation/local-supabase";

export interface Attacked {
  readonly url: string;
  readonly anonKey: string;
  /** Of somebody who may speak on `private:…`. */
  readonly accessToken: string;
  /** Of somebody else, of nobody, and no longer. */
  readonly otherTokens: readonly string[];
}

/** What the process holds after everything that can be collected was collected. */
export interface Condition {
  readonly heapBytes: number;
  /** Memory of buffers, outside the heap. */
  readonly externalBytes: number;
  readonly rssBytes: number;
  /** Messages of the log's level "error", each with how often. */
  readonly errors: Readonly<Record<string, number>>;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void; // there since the flag is set
const errors: Record<string, number> = {};

const supabase = await startLocalSupabase({
  port: 0,
  migrationsDir: fileURLToPath(new URL("../realtime/migrations", import.meta.url)),
  log: (level, message) => {
    if (level === "error") errors[message] = (errors[message] ?? 0) + 1;
  },
});
process.once("disconnect", () => void supabase.close());
process.on("SIGINT", () => {}); // the parent closes us: Ctrl-C reaches the whole group
process.on("message", () => void condition().then((answer) => process.send?.(answer)));

const secondsNow = Math.floor(Date.now() / 1_000);
const attacked: Attacked = {
  url: supabase.url,
  anonKey: supabase.anonKey,
  accessToken: await supabase.mintToken({ sub: "00000000-0000-4000-8000-000000000001" }),
  otherTokens: [
    await supabase.mintToken({ sub: "00000000-0000-4000-8000-000000000002", role: "no_such_role" }),
    await supabase.mintToken({ sub: "00000000-0000-4000-8000-000000000003", exp: secondsNow - 1 }),
    "sb_publishable_x",
    "a.b.c",
  ],
};
process.send?.(attacked);

/** Twice, with turns between: what finalizers let go is collected by the second. */
async function condition(): Promise<Condition> {
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapBytes: heapUsed, externalBytes: external, rssBytes: rss, errors };
}
