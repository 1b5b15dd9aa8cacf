/** The measured side, in a process of its own: a local Supabase with the benchmark's tables. Ends with its parent. */
import { fileURLToPath } from "node:url";
import { startLocalSupabase } from "@agent-federation/local-supabase";
import { ownQuestion } from "../harness/own-process.ts";

/** The database to use; undefined for the embedded one, in memory. */
export interface ServeQuestion {
  readonly databaseUrl?: string;
}

export interface Served {
  readonly url: string;
  readonly anonKey: string;
  /** Of a user of the tenant `bench`. */
  readonly accessToken: string;
}

const { databaseUrl } = ownQuestion<ServeQuestion>();
const supabase = await startLocalSupabase({
  port: 0,
  migrationsDir: fileURLToPath(new URL("migrations", import.meta.url)),
  ...(databaseUrl === undefined ? {} : { databaseUrl }),
});
process.once("disconnect", () => void supabase.close());
const accessToken = await supabase.mintToken({
  sub: "00000000-0000-4000-8000-000000000001",
  app_metadata: { tenant_id: "bench" },
});
const served: Served = { url: supabase.url, anonKey: supabase.anonKey, accessToken };
process.send?.(served);
