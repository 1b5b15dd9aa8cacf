import type { Database } from "../../../../local-supabase/src/database/database.ts";

/**
 * Resolves when every transaction that is running now has ended, those of other databases of the cluster too: then whoever reads below
 * the running ones sees what is committed by now.
 */
export async function settled(database: Database): Promise<void> {
  const latest = await database.query("select pg_snapshot_xmax(pg_current_snapshot())::text");
  const now = latest.rows[0]?.[0] ?? null;
  const passed = async (): Promise<boolean> => {
    const { rows } = await database.query(
      "select pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8",
      [now],
    );
    return rows[0]?.[0] === "t";
  };
  while (!(await passed()));
}
