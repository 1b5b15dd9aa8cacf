import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createFreshDatabase, nativeUrl } from "../../../../../test-support/database.ts";
import { makePrivateFolder } from "../open-pglite.ts";
import type { RestResponse } from "../../rest/rest.ts";
import { Backend } from "./backend.ts";

const endless = "select count(*) from generate_series(1, 1000000000000)";
/** One backend for all but those that end it: it survives what the tests do to it. */
let opened: OpenedBackend;
beforeAll(async () => {
  opened = await openBackend();
});
afterAll(() => opened.close());
afterEach(() => opened.backend.database.exec("drop table if exists public.t, public.kept"));

interface OpenedBackend {
  readonly backend: Backend;
  readonly close: () => Promise<void>;
}

async function openBackend(): Promise<OpenedBackend> {
  const fresh = nativeUrl === undefined ? undefined : await createFreshDatabase(nativeUrl);
  const folder = makePrivateFolder();
  const { backend } = await Backend.open({
    source:
      fresh === undefined
        ? { kind: "embedded", folder: join(folder, "db") }
        : { kind: "native", databaseUrl: fresh.url },
    rest: { maxRows: 1000, schemas: ["public"], statementTimeoutMs: 3_000, debug: false },
    migrationsDir: undefined,
    log: () => undefined,
    onProgress: () => undefined,
  });
  return {
    backend,
    close: async () => {
      await backend.close();
      await fresh?.drop();
      rmSync(folder, { recursive: true });
    },
  };
}

test("a REST request is answered the same, whether its body is text or bytes that threads share", async () => {
  const { database, rest } = opened.backend;
  await database.exec("create table public.t (s text); grant all on public.t to service_role");
  const body = JSON.stringify([{ s: "é😀" }]);
  const bytes = Buffer.from(body);
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  const credential = { role: "service_role", claims: { role: "service_role" }, expiresAtSeconds: undefined };
  const headers = { "content-type": "application/json", prefer: "return=representation" };
  for (const each of [body, shared]) {
    const request = { method: "POST", path: "/t", query: "", headers, body: each, credential };
    expect(await rest.answer(request)).toMatchObject({ status: 201, body });
  }
});

test.skipIf(nativeUrl !== undefined)(
  "what waits for the embedded database and whose client has gone is not carried out",
  async () => {
    const { database, rest } = opened.backend;
    await database.exec("create table public.t (n int); grant all on public.t to service_role");
    const credential = {
      role: "service_role",
      claims: { role: "service_role" },
      expiresAtSeconds: undefined,
    };
    const insert = (n: number, signal?: AbortSignal): Promise<RestResponse> =>
      rest.answer(
        {
          method: "POST",
          path: "/t",
          query: "",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ n }),
          credential,
        },
        signal,
      );
    const client = new AbortController();
    const answers: Promise<RestResponse>[] = [];
    await database.transaction(async () => {
      for (let n = 1; n <= 8; n++) answers.push(insert(n, n === 6 || n === 7 ? client.signal : undefined));
      client.abort();
      await answers[6];
    });
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([
      201, 201, 201, 201, 201, 499, 499, 201,
    ]);
    expect((await database.query("select n from public.t order by n")).rows.flat()).toEqual(
      [1, 2, 3, 4, 5, 8].map(String),
    );
  },
);

test("queries, transactions and errors cross the thread", async () => {
  const { database } = opened.backend;
  await database.exec("create table public.t (n bigint unique)");
  const inserted = await database.transaction(async (session) => {
    await session.query("insert into public.t values ($1)", ["9007199254740993"]);
    return await session.query("select n from public.t");
  });
  expect(inserted.rows).toEqual([["9007199254740993"]]);
  await expect(
    database.transaction(async (session) => {
      await session.query("delete from public.t");
      await session.query("insert into public.t values (1), (1)");
    }),
  ).rejects.toMatchObject({ name: "DatabaseError", code: "23505", detail: "Key (n)=(1) already exists." });
  expect((await database.query("select n from public.t")).rows).toEqual([["9007199254740993"]]);
});

test("a session cannot be used after its transaction", async () => {
  const session = await opened.backend.database.transaction((open) => Promise.resolve(open));
  await expect(session.query("select 1")).rejects.toMatchObject({ code: "25P01" });
});

test("a statement that overruns its time gets 57014, everything else goes on as if nothing had happened", async () => {
  const { database } = opened.backend;
  await database.exec("create table public.kept (n int); insert into public.kept values (1)");
  const heard: string[] = [];
  await database.listen("news", (payload) => heard.push(payload));
  const overrunning = database.query(endless);
  const waiting = database.query("insert into public.kept values (2) returning n");
  await expect(overrunning).rejects.toMatchObject({
    code: "57014",
    message: "canceling statement due to statement timeout",
  });
  expect((await waiting).rows).toEqual([["2"]]);
  expect((await database.query("select n from public.kept order by n")).rows).toEqual([["1"], ["2"]]);
  await database.query("select pg_notify('news', 'still listening')");
  await database.query("select 1");
  await expect.poll(() => heard).toEqual(["still listening"]);
});

test("a transaction in which a statement overran is rolled back", async () => {
  const { database } = opened.backend;
  await database.exec("create table public.kept (n int)");
  const overrunning = database.transaction(async (session) => {
    await session.query("insert into public.kept values (1)");
    await session.query(endless);
  });
  await expect(overrunning).rejects.toMatchObject({ code: "57014" });
  expect((await database.query("select n from public.kept")).rows).toEqual([]);
});

test("many short statements in one transaction may take longer than one of them may", async () => {
  const { database } = opened.backend;
  await database.transaction(async (session) => {
    for (let i = 0; i < 4; i++) await session.query("select pg_sleep(1)");
  });
});

test.each([
  ["nested deeper than the stack", "select ((repeat('[', 100000) || repeat(']', 100000))::jsonb)"],
  ["longer than the stack", `select 1${"+1".repeat(20_000)}`],
  ["endlessly recursive", "select public.recurse(1)"],
])("a statement that is %s is an error and harms nobody", async (_name, sql) => {
  const { database } = opened.backend;
  await database.exec(`create table public.kept (n int); insert into public.kept values (1);
    create or replace function public.recurse(i int) returns int language plpgsql as $$ begin return public.recurse(i + 1); end $$`);
  await expect(database.query(sql)).rejects.toMatchObject({ code: "54001" });
  expect((await database.query("select n from public.kept")).rows).toEqual([["1"]]);
});

test("close waits for what runs, refuses what comes after, and is one promise", async () => {
  const { backend, close } = await openBackend();
  const { database } = backend;
  const running = database.query("select 1");
  const closing = backend.close();
  expect(backend.close()).toBe(closing);
  await expect(database.query("select 2")).rejects.toMatchObject({ code: "57P01" });
  expect((await running).rows).toEqual([["1"]]);
  await closing;
  await close();
});

test("close ends a statement that never ends", async () => {
  const { backend, close } = await openBackend();
  const endlessly = backend.database.query(endless);
  const [, ended] = await Promise.allSettled([backend.close(), endlessly]);
  expect(ended).toMatchObject({ status: "rejected", reason: { code: "57014" } });
  await close();
});

test("a transaction that is held open does not hold up close", async () => {
  const { backend, close } = await openBackend();
  const { database } = backend;
  const held = database.transaction(async (session) => {
    await session.query("select 1");
    await backend.close();
  });
  await expect(held).rejects.toMatchObject({ name: "DatabaseError" });
  await close();
});
