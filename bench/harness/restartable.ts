import { once } from "node:events";
import { startSupabaseProcess, type SupabaseProcess } from "./supabase.ts";
import type { Served } from "./serve-supabase.ts";

export interface Restartable extends Served {
  readonly restarts: number;
  /** Kills the process (-9) and starts it again on its data folder and port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Half of what a start costs is optimizing Postgres' code, which is worth it for a server that lives for more than seconds. */
const shortLived = ["--liftoff-only"];

/** A local Supabase in a process of its own that can be killed. */
export async function startRestartable(dataDir: string): Promise<Restartable> {
  let current: SupabaseProcess = await startSupabaseProcess({ dataDir }, shortLived);
  let restarts = 0;
  const { url, anonKey, jwtSecret, serviceRoleKey } = current;
  const port = Number(new URL(url).port);
  return {
    url,
    anonKey,
    jwtSecret,
    serviceRoleKey,
    get restarts() {
      return restarts;
    },
    restart: async () => {
      const gone = once(current.child, "exit");
      current.child.kill("SIGKILL");
      await gone;
      restarts++;
      current = await startSupabaseProcess({ dataDir, port }, shortLived);
    },
    close: () => current.close(),
  };
}
