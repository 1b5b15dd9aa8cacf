/** The measured side, in a process of its own: a local Supabase with the benchmark's policies. Ends with its parent. */
import { fileURLToPath } from "node:url";
import { startLocalSupabase } from "@agent-federation/local-supabase";

export interface Served {
  readonly url: string;
  readonly anonKey: string;
  /** Of a user that may speak on `private:…`. */
  readonly accessToken: string;
}

const supabase = await startLocalSupabase({
  port: 0,
  migrationsDir: fileURLToPath(new URL("migrations", import.meta.url)),
});
process.once("disconnect", () => void supabase.close());
process.on("SIGINT", () => {}); // the parent closes us: Ctrl-C reaches the whole group
const accessToken = await supabase.mintToken({ sub: "00000000-0000-4000-8000-000000000001" });
const served: Served = { url: supabase.url, anonKey: supabase.anonKey, accessToken };
process.send?.(served);
