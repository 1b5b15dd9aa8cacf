import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { startTestStack } from "../../../test-support/stack.ts";
import type { LocalSupabase } from "./start-local-supabase.ts";

/** Roles belong to the cluster, which other tests use as well. */
const narrow = `narrow_${randomBytes(4).toString("hex")}`;
let stack: LocalSupabase;
let migrations: string;
beforeAll(async () => {
  migrations = mkdtempSync(join(tmpdir(), "migrations-"));
  writeFileSync(
    join(migrations, "20260101000000_todos.sql"),
    `create table public.todos (id bigint generated always as identity primary key, title text not null);
     alter table public.todos enable row level security;
     grant select, insert on public.todos to authenticated, service_role;
     create policy everything on public.todos to authenticated using (true) with check (true);
     create function public.whoami() returns text language sql as 'select current_user::text';
     create function public.dawdle() returns void language sql as 'select pg_sleep(30)';
     create function public.escape() returns text language plpgsql as $$ begin reset role; return current_user; end $$;
     create role ${narrow} nologin; grant ${narrow} to authenticator; grant usage on schema public to ${narrow};`,
  );
  stack = await startTestStack({ migrationsDir: migrations, statementTimeoutMs: 3_000 });
});
afterAll(async () => {
  await stack.close();
  rmSync(migrations, { recursive: true });
});

function client(key: string, token?: string): SupabaseClient {
  return createClient(stack.url, key, {
    realtime: { transport: WebSocket as never },
    ...(token === undefined ? {} : { accessToken: () => Promise.resolve(token) }),
  });
}

function rpc(name: string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${stack.url}/rest/v1/rpc/${name}`, { method: "POST", headers });
}

test("supabase-js reads and writes, and the migration is reported", async () => {
  expect(stack.appliedMigrations).toEqual(["20260101000000_todos.sql"]);
  const service = client(stack.serviceRoleKey);
  const inserted = await service.from("todos").insert({ title: "write tests" }).select();
  expect(inserted).toMatchObject({ error: null, data: [{ id: 1, title: "write tests" }] });
  const user = client(stack.anonKey, await stack.mintToken({ sub: "11111111-1111-4111-8111-111111111111" }));
  expect((await user.from("todos").select("title")).data).toEqual([{ title: "write tests" }]);
  expect((await client(stack.anonKey).from("todos").select()).error).toMatchObject({ code: "42501" });
});

test.each([
  ["anonKey", "anon"],
  ["publishableKey", "anon"],
  ["serviceRoleKey", "service_role"],
  ["secretKey", "service_role"],
] as const)("%s is %s, with and without a bearer token", async (key, role) => {
  expect((await client(stack[key]).rpc("whoami")).data).toBe(role);
  expect(await (await rpc("whoami", { apikey: stack[key] })).json()).toBe(role);
  expect(await (await fetch(`${stack.url}/rest/v1/rpc/whoami?apikey=${stack[key]}`)).json()).toBe(role);
});

test("an execution plan and a rollback on request are not for everybody, as on hosted projects", async () => {
  const service = client(stack.serviceRoleKey);
  expect((await service.from("todos").select().explain()).error).toMatchObject({ code: "PGRST107" });
  const inserted = await service.from("todos").insert({ title: "stays" }).select("id").rollback().single();
  expect(inserted.error).toBeNull();
  expect((await service.from("todos").select("title").eq("id", inserted.data?.id)).data).toEqual([
    { title: "stays" },
  ]);
});

describe("refused", () => {
  const secondsFromNow = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;
  const withToken = async (token: string): Promise<Response> =>
    rpc("whoami", { apikey: stack.anonKey, authorization: `Bearer ${token}` });

  test("no key", async () => {
    const response = await rpc("whoami", { authorization: `Bearer ${stack.serviceRoleKey}` });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ message: "No API key found in request" });
  });

  test("a key of another project, an invented one, and a user's token as a key", async () => {
    const userToken = await stack.mintToken({ sub: "someone" });
    for (const apikey of [`${stack.anonKey}x`, "sb_secret_invented", "nonsense", userToken]) {
      const response = await rpc("whoami", { apikey });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ message: "Invalid API key" });
    }
  });

  test.each([
    ["empty", () => Promise.resolve(""), "PGRST301", "Empty JWT is sent in Authorization header"],
    ["no JWT", () => Promise.resolve("abc"), "PGRST301", "Expected 3 parts in JWT; got 1"],
    [
      "forged",
      async () => `${(await stack.mintToken({ role: "service_role" })).slice(0, -4)}AAAA`,
      "PGRST301",
      "No suitable key or wrong key type",
    ],
    [
      "unsigned",
      () => Promise.resolve(unsigned({ role: "service_role", exp: 4e9 })),
      "PGRST301",
      "Wrong or unsupported encoding algorithm",
    ],
    ["expired", () => stack.mintToken({ exp: secondsFromNow(-60) }), "PGRST303", "JWT expired"],
    [
      "from the future",
      () => stack.mintToken({ nbf: secondsFromNow(3600), exp: secondsFromNow(7200) }),
      "PGRST303",
      "JWT not yet valid",
    ],
  ])("a bearer token that is %s", async (_name, token, code, message) => {
    const response = await withToken(await token());
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code, message });
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
  });

  test("a token that names a role which the API may not become", async () => {
    const postgres = await withToken(await stack.mintToken({ role: "postgres" }));
    expect(postgres.status).toBe(403);
    expect(await postgres.json()).toMatchObject({ code: "42501" });
    const unknown = await withToken(await stack.mintToken({ role: "nobody_here" }));
    expect(unknown.status).toBe(401);
    expect(await unknown.json()).toMatchObject({ code: "22023" });
    const admin = await withToken(await stack.mintToken({ role: "supabase_admin" }));
    expect(admin.status).toBe(403);
  });

  test("a role of the project that was granted to authenticator is not", async () => {
    expect(await (await withToken(await stack.mintToken({ role: narrow }))).json()).toBe(narrow);
  });

  test("nothing: a token without exp, and one without a role, which is anon's", async () => {
    const endless = await stack.mintToken({ exp: undefined });
    expect(await (await withToken(endless)).json()).toBe("authenticated");
    const roleless = await stack.mintToken({ role: undefined });
    expect(await (await withToken(roleless)).json()).toBe("anon");
  });
});

test("a statement that takes too long is ended with 57014; the data and the sockets are still there", async () => {
  const service = client(stack.serviceRoleKey);
  await service.from("todos").insert({ title: "before" });
  const heard: unknown[] = [];
  const channel = service.channel("during", { config: { broadcast: { self: true } } });
  channel.on("broadcast", { event: "e" }, ({ payload }) => heard.push(payload));
  await new Promise<void>((joined) => channel.subscribe((status) => status === "SUBSCRIBED" && joined()));
  const dawdling = service.rpc("dawdle");
  await channel.send({ type: "broadcast", event: "e", payload: { n: 1 } });
  const { error, status } = await dawdling;
  expect(status).toBe(500);
  expect(error).toMatchObject({ code: "57014", message: "canceling statement due to statement timeout" });
  expect((await service.from("todos").select("title").eq("title", "before")).data).toEqual([
    { title: "before" },
  ]);
  await expect.poll(() => heard).toEqual([{ n: 1 }]);
  await service.removeAllChannels();
});

describe("the door", () => {
  test("a preflight is answered, whatever it wants to send", async () => {
    const response = await fetch(`${stack.url}/rest/v1/todos`, {
      method: "OPTIONS",
      headers: { origin: "https://example.com", "access-control-request-headers": "x-custom, apikey" },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-headers")).toBe("x-custom, apikey");
    expect(response.headers.get("access-control-allow-methods")).toContain("PATCH");
  });

  test("pages may read what supabase-js reads", async () => {
    const response = await rpc("whoami", { apikey: stack.anonKey });
    expect(response.headers.get("access-control-expose-headers")).toContain("content-range");
  });

  test("what the stack has not says so", async () => {
    for (const service of ["auth", "storage", "functions"]) {
      const response = await fetch(`${stack.url}/${service}/v1/anything`);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ code: "not_part_of_local_stack" });
    }
    expect((await fetch(`${stack.url}/elsewhere`)).status).toBe(404);
    expect((await fetch(stack.url)).status).toBe(200);
  });

  test("a body of more than 100 MB is refused before it is read", async () => {
    const socket = connect(Number(new URL(stack.url).port), "127.0.0.1");
    socket.write(
      `POST /rest/v1/todos HTTP/1.1\r\nhost: x\r\napikey: ${stack.serviceRoleKey}\r\ncontent-length: 200000000\r\n\r\n[`,
    );
    const answer = await new Promise<string>((done) => {
      socket.once("data", (data) => done(data.toString()));
    });
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    socket.destroy();
  });

  test("what is no HTTP harms nobody", async () => {
    for (const nonsense of [
      "\0\0\0\0",
      "GET /rest/v1/%zz HTTP/1.1\r\n\r\n",
      "GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n",
    ]) {
      const socket = connect(Number(new URL(stack.url).port), "127.0.0.1");
      const ended = new Promise<void>((done) => socket.once("close", () => done()));
      socket.on("error", () => undefined);
      socket.resume();
      socket.end(nonsense);
      await ended;
    }
    const upgrade = await fetch(`${stack.url}/realtime/v1/websocket`);
    expect(upgrade.status).toBeGreaterThanOrEqual(400);
    expect(await (await rpc("whoami", { apikey: stack.anonKey })).json()).toBe("anon");
  });
});

function unsigned(claims: Record<string, unknown>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part(claims)}.`;
}
