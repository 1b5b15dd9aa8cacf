import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTestDatabase } from "../../../../../test-support/database.ts";
import type { Database, QueryResult } from "../database.ts";
import { bootstrap } from "./bootstrap.ts";

let database: Database;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

/** Runs as a migration runs: as `postgres`, each list of statements in one transaction. */
function asPostgres(...statements: string[]): Promise<QueryResult> {
  return database.transaction(async (session) => {
    let last = await session.query("set local session authorization postgres");
    for (const sql of statements) last = await session.query(sql);
    return last;
  });
}

describe("postgres may", () => {
  test.each([
    ["make tables in public", "create table public.made (id int primary key)"],
    ["make schemas", "create schema made"],
    ["make roles", `create role made_${randomBytes(4).toString("hex")} nologin`],
    ["make a policy on realtime.messages", "create policy made on realtime.messages for select using (true)"],
    ["alter it", "alter policy made on realtime.messages using (false)"],
    ["comment on it", "comment on policy made on realtime.messages is 'x'"],
    ["drop it", "drop policy made on realtime.messages"],
    [
      "make one inside a block",
      "do $$ begin execute 'create policy made on realtime.messages for insert to service_role with check (true)'; end $$",
    ],
    ["publish its tables", "alter publication supabase_realtime add table public.made"],
    ["refer to auth.users", "create table public.profile (id uuid references auth.users)"],
    ["broadcast", `select realtime.send('{"a":1}', 'event', 'topic')`],
    ["become an API role", "set local role anon"],
    ["comment on schema public", "comment on schema public is 'ours'"],
    ["repeat a grant on realtime.messages", "grant select on realtime.messages to anon"],
  ])("%s", async (_name, sql) => {
    await asPostgres(sql);
  });
});

describe("postgres may not", () => {
  test.each([
    "alter table realtime.messages disable row level security",
    "alter table realtime.messages add column x int",
    "alter table realtime.messages owner to anon",
    "drop table realtime.messages",
    "truncate realtime.messages",
    "delete from realtime.messages",
    "create index on realtime.messages (event)",
    "create trigger t after insert on realtime.messages for each row execute function realtime.announce_message()",
    "drop trigger announce_message on realtime.messages",
    "comment on table realtime.messages is 'x'",
    "grant delete on realtime.messages to anon",
    "revoke select on realtime.messages from anon",
    "create table public.part partition of realtime.messages default",
    "create statistics public.st on id, topic from realtime.messages",
    "alter publication supabase_realtime add table realtime.messages",
    "create table realtime.x (a int)",
    "create or replace function realtime.topic() returns text language sql as 'select null::text'",
    "drop schema realtime cascade",
    "create table auth.x (a int)",
    "create or replace function auth.uid() returns uuid language sql as 'select null::uuid'",
    "drop event trigger guard_realtime_messages",
    "select realtime.keep_partitions()",
    "create role stronger superuser",
    "alter role anon bypassrls",
  ])("%s", async (sql) => {
    await expect(asPostgres(sql)).rejects.toMatchObject({ code: "42501" });
  });

  test("escape by reset role or reset session authorization", async () => {
    const { rows } = await asPostgres("reset role", "select current_setting('is_superuser'), current_user");
    expect(rows).toEqual([["off", "postgres"]]);
  });
});

test("nothing in public is granted to the API roles by default, and functions are callable", async () => {
  await asPostgres(
    "create table public.plain (a int)",
    "create function public.plain_f() returns int return 1",
  );
  const { rows } = await database.query(`
    select role, has_table_privilege(role, 'public.plain', 'select'), has_function_privilege(role, 'public.plain_f()', 'execute')
    from unnest(array['anon', 'authenticated', 'service_role']) role`);
  expect(rows).toEqual([
    ["anon", "f", "t"],
    ["authenticated", "f", "t"],
    ["service_role", "f", "t"],
  ]);
});

test("auth.uid, auth.role and auth.email read the claims of the request", async () => {
  const claims = {
    sub: "7d7c4bb2-3b4f-4f5e-8f0e-2f1f6f2f9a11",
    role: "authenticated",
    email: "a@example.com",
  };
  const { rows } = await database.transaction(async (session) => {
    await session.query("select set_config('request.jwt.claims', $1, true)", [JSON.stringify(claims)]);
    return await session.query("select auth.uid(), auth.role(), auth.email(), auth.jwt() ->> 'sub'");
  });
  expect(rows).toEqual([[claims.sub, "authenticated", "a@example.com", claims.sub]]);
  expect((await database.query("select auth.uid(), auth.jwt()")).rows).toEqual([[null, null]]);
});

test("a stored broadcast is announced with its row, a large one without", async () => {
  const heard = listenOnce(2);
  const stop = await database.listen("supabase_realtime_messages", heard.onPayload);
  await database.query(`select realtime.send('{"n": 9007199254740993}', 'greeting', 'room:1', false)`);
  await database.query(`select realtime.send(jsonb_build_object('n', repeat('x', 8000)), 'large', 'room:1')`);
  const [small, large] = (await heard.all).map((payload) => JSON.parse(payload) as Record<string, unknown>);
  expect(small).toMatchObject({ topic: "room:1", event: "greeting", private: false, extension: "broadcast" });
  expect(small?.["payload"]).toBe(`{"n": 9007199254740993, "id": "${String(small?.["id"])}"}`);
  expect(Object.keys(large ?? {})).toEqual(["id", "inserted_at"]);
  await stop();
});

test("realtime.send never fails the statement it is part of", async () => {
  await database.query(`select realtime.send('[1]', 'event', 'not-an-object')`);
  await database.transaction(async (session) => {
    await session.query("set local role anon");
    await session.query(`select realtime.send('{}', 'event', 'no-policy-for-anon')`);
  });
  const { rows } = await database.query(
    "select topic from realtime.messages where topic in ('not-an-object', 'no-policy-for-anon')",
  );
  expect(rows).toEqual([]);
});

test("broadcast_changes sends the row a trigger saw", async () => {
  await asPostgres(
    "create table public.watched (id int primary key, note text)",
    `create function public.tell() returns trigger language plpgsql as $$
     begin
       perform realtime.broadcast_changes('watched', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
       return null;
     end $$`,
    "create trigger tell after insert or update on public.watched for each row execute function public.tell()",
    "insert into public.watched values (1, 'first')",
    "update public.watched set note = 'second'",
  );
  const { rows } = await database.query(
    "select event, private, payload - 'id' from realtime.messages where topic = 'watched' order by inserted_at, event",
  );
  expect(rows.map((row) => [row[0], row[1], JSON.parse(row[2] ?? "null")])).toEqual([
    [
      "INSERT",
      "t",
      {
        operation: "INSERT",
        schema: "public",
        table: "watched",
        record: { id: 1, note: "first" },
        old_record: null,
      },
    ],
    [
      "UPDATE",
      "t",
      {
        operation: "UPDATE",
        schema: "public",
        table: "watched",
        record: { id: 1, note: "second" },
        old_record: { id: 1, note: "first" },
      },
    ],
  ]);
});

test("partitions older than three days are dropped, those from yesterday to three days ahead are there", async () => {
  await database.exec(`
    create table realtime.messages_2020_01_01 partition of realtime.messages for values from ('2020-01-01') to ('2020-01-02')`);
  await database.query("select realtime.keep_partitions()");
  const { rows } = await database.query(`
    select to_regclass('realtime.messages_2020_01_01'),
      (select count(to_regclass(to_char(current_date + day, '"realtime.messages_"YYYY_MM_DD'))) from generate_series(-1, 3) day)`);
  expect(rows).toEqual([[null, "5"]]);
});

test("DDL is announced to whoever caches the schema", async () => {
  const heard = listenOnce(2);
  const stop = await database.listen("pgrst", heard.onPayload);
  await asPostgres("create table public.announced (a int)");
  await asPostgres("drop table public.announced");
  expect(await heard.all).toEqual(["reload schema", "reload schema"]);
  await stop();
});

test("bootstrapping again changes nothing", async () => {
  await database.exec("comment on schema realtime is 'an older version'");
  await bootstrap(database);
  await asPostgres("create policy still_allowed on realtime.messages for select using (true)");
});

/** Collects `count` payloads; `all` resolves with them. */
function listenOnce(count: number): { onPayload: (payload: string) => void; all: Promise<string[]> } {
  const payloads: string[] = [];
  let resolve: (payloads: string[]) => void;
  const all = new Promise<string[]>((done) => {
    resolve = done;
  });
  return {
    all,
    onPayload: (payload) => {
      payloads.push(payload);
      if (payloads.length === count) resolve(payloads);
    },
  };
}
