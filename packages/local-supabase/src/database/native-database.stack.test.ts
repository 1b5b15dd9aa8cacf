import { expect, onTestFinished, test } from "vitest";
import { createFreshDatabase, nativeUrl } from "../../../../test-support/database.ts";
import type { Database } from "./database.ts";
import { openNative } from "./open-native.ts";

async function open(): Promise<Database> {
  const fresh = await createFreshDatabase(nativeUrl ?? "");
  const database = await openNative(fresh.url);
  onTestFinished(async () => {
    await database.close();
    await fresh.drop();
  });
  return database;
}

const setting = { text: "select set_config('search_path', $1, true)", params: ["public"] };
const insert = (n: number) => ({
  text: "insert into public.batched values ($1) returning n",
  params: [String(n)],
});
const found = { text: "select n, current_setting('search_path') from batched order by n", params: [] };

test.runIf(nativeUrl !== undefined)(
  "a batch that is sent at once is one transaction: its results in order, and nothing of it where one of it fails",
  async () => {
    const database = await open();
    await database.exec("create table public.batched (n int unique deferrable initially deferred)");
    for (const n of [1, 2, 3]) {
      const results = await database.batch([setting, insert(n), found]);
      expect(results[1]).toEqual({ columns: ["n"], rows: [[String(n)]], affectedRows: 1 });
      expect(results[2]?.rows.at(-1)).toEqual([String(n), "public"]);
    }
    const failures = Array.from({ length: 10 }, async (_, at) => {
      const failing = database.batch([
        insert(4 + at),
        { text: "select 1 / $1::int", params: ["0"] },
        setting,
        found,
      ]);
      await expect(failing).rejects.toMatchObject({ code: "22012" }); // not that what followed was refused
      await expect(database.batch([setting, insert(1)])).rejects.toMatchObject({ code: "23505" }); // at its end
    });
    await Promise.all(failures);
    const { rows } = await database.query(
      "select n, current_setting('search_path') from public.batched order by n",
    );
    expect(rows).toEqual(["1", "2", "3"].map((n) => [n, '"$user", public, extensions']));
  },
);

test.runIf(nativeUrl !== undefined)(
  "a batch whose connection is lost is an error, and the next one has another",
  async () => {
    const database = await open();
    await database.exec("create table public.batched (n int)");
    const lost = database.batch([
      insert(1),
      { text: "select pg_terminate_backend(pg_backend_pid())", params: [] },
      found,
    ]);
    await expect(lost).rejects.toMatchObject({ name: "DatabaseError" });
    const [, , seen] = await database.batch([setting, insert(2), found]);
    expect(seen?.rows).toEqual([["2", "public"]]);
  },
);
