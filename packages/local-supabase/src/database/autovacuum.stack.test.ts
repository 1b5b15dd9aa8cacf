import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestDatabase } from "../../../../test-support/database.ts";
import { Autovacuum, isDue } from "./autovacuum.ts";
import type { Database } from "./database.ts";

let database: Database;
let autovacuum: Autovacuum;
beforeAll(async () => {
  database = await openTestDatabase();
  autovacuum = new Autovacuum(database);
});
afterAll(() => database.close());

test("a table is due when more than fifty rows and its share have changed", () => {
  expect(isDue(50, { all: 0, share: 0.1 })).toBe(false);
  expect(isDue(51, { all: 0, share: 0.1 })).toBe(true);
  expect(isDue(51, { all: -1, share: 0.1 })).toBe(true);
  expect(isDue(150, { all: 1_000, share: 0.1 })).toBe(false);
  expect(isDue(151, { all: 1_000, share: 0.1 })).toBe(true);
});

test("a statement planned for an empty table is planned anew when the table has filled", async () => {
  if (database.kind === "native") return; // a server has processes for it
  await database.exec(`
    create table public.filling (id int primary key, tenant text, words tsvector, "odd name" text);
    create index on public.filling (tenant, "odd name");
    prepare of_tenant (text) as select from public.filling where tenant = $1;
    set plan_cache_mode = force_generic_plan;
    execute of_tenant ('one')`);
  expect(await planOf("execute of_tenant ('one')")).toContain("Index");
  await database.exec(
    "insert into public.filling select n, 'one', to_tsvector('word'), 'x' from generate_series(1, 5000) n",
  );
  await autovacuum.run();
  expect(await planOf("execute of_tenant ('one')")).toContain("Seq Scan"); // all rows are of that tenant
  expect(await done()).toEqual(["1", "0"]);
});

test("what has changed little is left alone", async () => {
  if (database.kind === "native") return;
  await database.exec("update public.filling set tenant = 'two' where id <= 500");
  await autovacuum.run();
  expect(await done()).toEqual(["1", "0"]);
  await database.exec("delete from public.filling where id <= 100");
  await autovacuum.run();
  expect(await done()).toEqual(["2", "0"]);
});

test("the place of what was deleted is used again", async () => {
  if (database.kind === "native") return;
  await database.exec("delete from public.filling where id <= 2000");
  await autovacuum.run();
  expect(await done()).toEqual(["3", "1"]);
  const size = "select pg_relation_size('public.filling')";
  const before = (await database.query(size)).rows;
  await database.exec("insert into public.filling select n, 'one', '', 'x' from generate_series(1, 1500) n");
  expect((await database.query(size)).rows).toEqual(before);
});

async function planOf(sql: string): Promise<string> {
  const { rows } = await database.query(`explain ${sql}`);
  return rows.join("\n");
}

/** How often it was analyzed and vacuumed. */
async function done(): Promise<readonly unknown[] | undefined> {
  const { rows } = await database.query(
    "select analyze_count, vacuum_count from pg_stat_user_tables where relname = 'filling'",
  );
  return rows[0];
}
