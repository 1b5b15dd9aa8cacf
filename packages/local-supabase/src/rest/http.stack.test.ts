import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import WebSocket from "ws";
import { startTestStack } from "../../../../test-support/stack.ts";
import type { LocalSupabase } from "../start-local-supabase.ts";

// The whole way: supabase-js, sockets, the keys, the worker, the database. What each part does is tested beside it.

let stack: LocalSupabase;
let migrations: string;

beforeAll(async () => {
  migrations = mkdtempSync(join(tmpdir(), "rest-migrations-"));
  writeFileSync(
    join(migrations, "20260101000000_library.sql"),
    `create table public.authors (id int primary key, name text not null);
     create table public.books (
       id int generated always as identity primary key, author_id int references public.authors, title text,
       owner text default auth.jwt() ->> 'sub');
     alter table public.books enable row level security;
     create policy own on public.books to authenticated using (owner = (select auth.jwt() ->> 'sub'));
     grant all on public.authors, public.books to service_role;
     grant select on public.authors to anon, authenticated;
     grant select, insert, update, delete on public.books to authenticated;
     create function public.titles(prefix text default '') returns setof text language sql stable as
       $$ select title from public.books where title like prefix || '%' order by id $$;
     insert into public.authors values (1, 'Ann'), (2, 'Bob');`,
  );
  stack = await startTestStack({ migrationsDir: migrations });
});
afterAll(async () => {
  await stack.close();
  rmSync(migrations, { recursive: true });
});

async function userClient(sub: string): Promise<SupabaseClient> {
  const token = await stack.mintToken({ sub });
  return createClient(stack.url, stack.publishableKey, {
    accessToken: () => Promise.resolve(token),
    // supabase-js wants the browser's class, `ws` is what it documents for Node 20.
    realtime: { transport: WebSocket as never },
  });
}

test("rows, relations, counts and functions over HTTP", async () => {
  const ann = await userClient("ann");
  const inserted = await ann
    .from("books")
    .insert(
      [
        { author_id: 1, title: "One" },
        { author_id: 2, title: "Two, with ünïcode & signs" },
      ],
      { defaultToNull: false },
    )
    .select("title, authors(name)");
  expect(inserted).toMatchObject({
    status: 201,
    error: null,
    data: [
      { title: "One", authors: { name: "Ann" } },
      { title: "Two, with ünïcode & signs", authors: { name: "Bob" } },
    ],
  });
  const found = await ann
    .from("books")
    .select("id", { count: "exact" })
    .eq("title", "Two, with ünïcode & signs");
  expect(found).toMatchObject({ count: 1, status: 200 });
  expect(await ann.from("books").select("*", { count: "exact", head: true })).toMatchObject({
    count: 2,
    data: null,
  });
  expect((await ann.rpc("titles", { prefix: "On" })).data).toEqual(["One"]);
  expect((await ann.rpc("titles", {}, { get: true, count: "exact" })).count).toBe(2);
  const bob = await userClient("bob");
  expect((await bob.from("books").select()).data).toEqual([]);
  expect(await bob.from("books").delete().gt("id", 0)).toMatchObject({
    status: 204,
    error: null,
    data: null,
  });
  expect((await ann.from("books").select("id")).data).toHaveLength(2);
});

test("errors arrive as supabase-js reads them", async () => {
  const ann = await userClient("ann");
  const { data, error, status, statusText } = await ann.from("book").select();
  expect({ data, status, statusText }).toEqual({ data: null, status: 404, statusText: "Not Found" });
  expect(error).toEqual({
    code: "PGRST205",
    message: "Could not find the table 'public.book' in the schema cache",
    details: null,
    hint: "Perhaps you meant the table 'public.books'",
  });
  await expect(ann.from("books").select("nope").throwOnError()).rejects.toMatchObject({ code: "42703" });
});

test("a filter of a thousand ids fits into a URL", async () => {
  const service = createClient(stack.url, stack.secretKey, { realtime: { transport: WebSocket as never } });
  const ids = Array.from({ length: 1000 }, (_, at) => at + 100_000);
  expect(
    await service
      .from("authors")
      .select("id")
      .in("id", [1, ...ids]),
  ).toMatchObject({ data: [{ id: 1 }] });
});

test("a request that is given up does not stop the next", async () => {
  const service = createClient(stack.url, stack.serviceRoleKey, {
    realtime: { transport: WebSocket as never },
  });
  const given = new AbortController();
  const answer = service.from("authors").select().abortSignal(given.signal);
  given.abort();
  expect((await answer).error?.message).toContain("AbortError");
  expect((await service.from("authors").select("id").order("id")).data).toEqual([{ id: 1 }, { id: 2 }]);
});
