import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "./database.ts";
import { openPglite } from "./open-pglite.ts";

let database: Database;
beforeAll(async () => {
  database = await openPglite();
});
afterAll(() => database.close());

test("values cross as Postgres prints and reads them", async () => {
  const values = [
    "9007199254740993",
    "1.10",
    '{"a": 1e400, "b": "x"}',
    '"scalar"',
    "\\x00ff",
    "{1,NULL,3}",
    '{"not":"json"}',
  ];
  const types = ["bigint", "numeric", "jsonb", "jsonb", "bytea", "int[]", "text"];
  const columns = types.map((type, i) => `$${i + 1}::${type}`).join(", ");
  const { rows } = await database.query(`select ${columns}, null::text`, values);
  expect(rows[0]?.slice(3)).toEqual(['"scalar"', "\\x00ff", "{1,NULL,3}", '{"not":"json"}', null]);
  expect(rows[0]?.slice(0, 2)).toEqual(["9007199254740993", "1.10"]);
});

test("a transaction whose function rejects leaves nothing behind", async () => {
  await database.exec("create table public.kept (n int)");
  const failing = database.transaction(async (session) => {
    await session.query("insert into public.kept values ($1)", ["1"]);
    throw new Error("changed my mind");
  });
  await expect(failing).rejects.toThrow("changed my mind");
  expect((await database.query("select * from public.kept")).rows).toEqual([]);
});

test("a transaction in which a failure was swallowed does not resolve as committed", async () => {
  const swallowing = database.transaction(async (session) => {
    await session.query("select 1/0").catch(() => undefined);
  });
  await expect(swallowing).rejects.toMatchObject({ code: "25P02" });
});

test("a statement of another caller waits for the end of a transaction", async () => {
  await database.exec("create table public.counted (n int)");
  const order: string[] = [];
  const long = database.transaction(async (session) => {
    await session.query("insert into public.counted values (1)");
    await session.query("select 1");
    order.push("transaction");
  });
  const other = database.query("select count(*) from public.counted").then((result) => {
    order.push("query");
    return result.rows[0]?.[0];
  });
  await long;
  expect(await other).toBe("1");
  expect(order).toEqual(["transaction", "query"]);
});

test("a batch is one transaction: its results in order, and nothing of it where one of it fails", async () => {
  await database.exec("create table public.batched (n int unique deferrable initially deferred)");
  const insert = { text: "insert into public.batched values ($1) returning n", params: ["1"] };
  const setting = { text: "select set_config('search_path', $1, true)", params: ["public"] };
  const found = { text: "select n, current_setting('search_path') from batched", params: [] };
  for (const n of ["1", "2", "3"]) {
    const results = await database.batch([setting, { ...insert, params: [n] }, found]);
    expect(results.map(({ rows }) => rows.length)).toEqual([1, 1, Number(n)]);
    expect(results[1]).toEqual({ columns: ["n"], rows: [[n]], affectedRows: 1 });
  }
  for (let i = 0; i < 3; i++) {
    const failing = database.batch([
      { ...insert, params: ["4"] },
      { text: "select 1 / $1::int", params: ["0"] },
      found,
    ]);
    await expect(failing).rejects.toMatchObject({ code: "22012" });
    await expect(database.batch([setting, insert])).rejects.toMatchObject({ code: "23505" }); // at its end
  }
  expect((await database.query("select n, current_setting('search_path') from public.batched")).rows).toEqual(
    ["1", "2", "3"].map((n) => [n, '"$user", public, extensions']),
  );
});

test("a transaction begun by hand does not outlive its statement", async () => {
  await database.exec("create table public.by_hand (n int)");
  await database.exec("begin; insert into public.by_hand values (1)");
  expect((await database.query("select * from public.by_hand")).rows).toEqual([]);
});

test("an error carries code, constraint, detail and position", async () => {
  await database.exec("create table public.unique_once (n int constraint only_once unique)");
  await database.query("insert into public.unique_once values (1)");
  await expect(database.query("insert into public.unique_once values (1)")).rejects.toMatchObject({
    code: "23505",
    constraint: "only_once",
    detail: "Key (n)=(1) already exists.",
  });
  await expect(database.query("select nothing")).rejects.toMatchObject({ code: "42703", position: 8 });
});

test("notifications arrive at commit and not after a rollback", async () => {
  const heard: string[] = [];
  const stop = await database.listen("Odd channel", (payload) => heard.push(payload));
  await database.query(`select pg_notify('Odd channel', 'one')`);
  await database
    .transaction(async (session) => {
      await session.query(`select pg_notify('Odd channel', 'never')`);
      throw new Error("rolled back");
    })
    .catch(() => undefined);
  await database.query(`select pg_notify('Odd channel', 'two')`);
  expect(heard).toEqual(["one", "two"]);
  await stop();
  await database.query(`select pg_notify('Odd channel', 'three')`);
  expect(heard).toEqual(["one", "two"]);
});

test("a statement that crashes Postgres is an error, and so is everything after it", async () => {
  let crashes = 0;
  const fragile = await openPglite({ onCrash: () => crashes++ });
  await expect(fragile.query("select repeat('[', 1000000)::jsonb")).rejects.toMatchObject({ code: "54001" });
  await expect(fragile.query("select 1")).rejects.toMatchObject({ code: "57P02" });
  expect(crashes).toBe(1);
  await fragile.close();
});

test("a statement that comes again and again sees new columns, other roles and their policies, and survives deallocate all", async () => {
  await database.exec(`create table public.again (n int, owner text); insert into public.again values (1, 'anon');
    alter table public.again enable row level security; grant select on public.again to anon;
    create policy own on public.again using (owner = current_user)`);
  const rows = async (role: string): Promise<unknown> =>
    database.transaction(async (session) => {
      await session.query("select set_config('role', $1, true)", [role]);
      return (await session.query("select json_agg(a) from public.again a")).rows[0]?.[0];
    });
  for (let i = 0; i < 8; i++) {
    expect(await rows("anon")).toBe('[{"n":1,"owner":"anon"}]');
    expect(await rows("supabase_admin")).toBe('[{"n":1,"owner":"anon"}]');
    await expect(rows("authenticated")).rejects.toMatchObject({ code: "42501" });
  }
  await database.exec("alter table public.again add column later text; drop policy own on public.again");
  expect(await rows("anon")).toBeNull();
  expect(await rows("supabase_admin")).toBe('[{"n":1,"owner":"anon","later":null}]');
  await database.exec("deallocate all");
  await expect(rows("anon")).rejects.toMatchObject({ code: "26000" });
  expect(await rows("anon")).toBeNull();
});
