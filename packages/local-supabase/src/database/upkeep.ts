import { Autovacuum } from "./autovacuum.ts";
import type { Database } from "./database.ts";

export interface Upkeep {
  stop(): void;
}

type Log = (level: "error" | "info" | "debug", message: string, fields?: Record<string, unknown>) => void;

const everyMs = 60_000;
/** A table that fills is planned for as an empty one until then. */
const autovacuumEveryMs = 5_000;
const maxWalBytes = 64 * 1024 * 1024;

/**
 * What a server's background processes would do, once a minute: partitions of realtime.messages for the coming days;
 * on the embedded database, where nothing else ever does it, a checkpoint once 64 MB were written, so that the log
 * stays small and a start after a crash quick, and every five seconds what autovacuum would do.
 */
export function startUpkeep(database: Database, log: Log): Upkeep {
  const timers = [repeat(everyMs, () => keepUp(database))];
  if (database.kind === "embedded") {
    const autovacuum = new Autovacuum(database);
    timers.push(repeat(autovacuumEveryMs, () => autovacuum.run()));
  }
  return { stop: () => timers.forEach(clearInterval) };

  function repeat(ms: number, run: () => Promise<void>): NodeJS.Timeout {
    const tick = (): void =>
      void run().catch((error: unknown) =>
        log("error", "upkeep of the database failed", { error: String(error) }),
      );
    return setInterval(tick, ms).unref();
  }
}

export async function keepUp(database: Database): Promise<void> {
  await database.query("select realtime.keep_partitions()");
  if (database.kind !== "embedded") return;
  const { rows } = await database.query(
    "select pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn) > $1::numeric from pg_control_checkpoint()",
    [String(maxWalBytes)],
  );
  if (rows[0]?.[0] === "t") await database.exec("checkpoint");
}
