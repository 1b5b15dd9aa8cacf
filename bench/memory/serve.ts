/** A local Supabase with our migrations, in a process of its own. Ends with its parent. */
import { fileURLToPath } from "node:url";
import { startLocalSupabase } from "@agent-federation/local-supabase";
import { ownQuestion } from "../harness/own-process.ts";

export interface ServeQuestion {
  /** Undefined: the embedded database, in memory. */
  readonly databaseUrl?: string | undefined;
}

export interface Served {
  readonly url: string;
  readonly anonKey: string;
  readonly serviceRoleKey: string;
  readonly jwtSecret: string;
}

const { databaseUrl } = ownQuestion<ServeQuestion>();
const supabase = await startLocalSupabase({
  port: 0,
  migrationsDir: fileURLToPath(new URL("../../supabase/migrations", import.meta.url)),
  ...(databaseUrl === undefined ? {} : { databaseUrl }),
});
process.once("disconnect", () => void supabase.close());
const { url, anonKey, serviceRoleKey, jwtSecret } = supabase;
process.send?.({ url, anonKey, serviceRoleKey, jwtSecret } satisfies Served);
