/** The measured side, in a process of its own: a local Supabase with our migrations. Ends with its parent. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startLocalSupabase, type LocalSupabaseOptions } from "@agent-federation/local-supabase";
import { ownQuestion } from "./own-process.ts";

/** Embedded, unless there is a databaseUrl. */
export interface ServeQuestion extends Pick<
  LocalSupabaseOptions,
  "port" | "databaseUrl" | "dataDir" | "limits"
> {
  /** A folder with more migrations, of the benchmark. */
  readonly moreMigrations?: string;
}

export interface Served {
  readonly url: string;
  readonly anonKey: string;
  readonly jwtSecret: string;
  readonly serviceRoleKey: string;
}

const { moreMigrations, ...options } = ownQuestion<ServeQuestion>();
const ours = fileURLToPath(new URL("../../supabase/migrations", import.meta.url));
const migrationsDir = moreMigrations === undefined ? ours : await together(ours, moreMigrations);
const supabase = await startLocalSupabase({ port: 0, ...options, migrationsDir });
if (migrationsDir !== ours) await rm(migrationsDir, { recursive: true });
process.once("disconnect", () => void supabase.close());
process.on("SIGINT", () => {}); // the parent closes us: Ctrl-C reaches the whole group
const { url, anonKey, jwtSecret, serviceRoleKey } = supabase;
if (process.connected) process.send?.({ url, anonKey, jwtSecret, serviceRoleKey } satisfies Served);
else void supabase.close(); // the parent went while it started

async function together(...folders: readonly string[]): Promise<string> {
  const all = await mkdtemp(join(tmpdir(), "agent-federation-migrations-"));
  for (const folder of folders) await cp(folder, all, { recursive: true });
  return all;
}
