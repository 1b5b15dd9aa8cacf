import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  service,
  sql,
  type Caller,
} from "../../../../test-support/sql-roles.ts";
import { settled } from "./testing/settled.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Told {
  readonly id: string;
  readonly version: number;
  readonly hlc: { readonly ms: number; readonly counter: number; readonly writer: string };
  readonly [key: string]: unknown;
}
interface Page {
  readonly rows: readonly Told[];
  readonly cursor: string;
  readonly done: boolean;
  readonly reset: boolean;
}
async function pull(caller: Caller, cursor: string | null = null, args: object = {}): Promise<Page> {
  await settled(database);
  return await call<Page>(database, caller, "pull_memories", { cursor, ...args });
}
const store = (caller: Caller, memory: object): Promise<Told> =>
  call<Told>(database, caller, "store_memory", { memory });
const count = (caller: Caller, name: string, args: object = {}): Promise<number> =>
  call<number>(database, caller, name, { ...args });
const past = "2001-01-01T00:00:00+00:00";

test("what expired with its first version goes without a word; what was changed leaves a tombstone with its clock", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await store(alice, { id: "changed", content: "secret" });
  const { cursor } = await pull(bob);
  const changed = await store(alice, { id: "changed", content: "secret", expires_at: past });
  await store(alice, { id: "once", content: "secret", expires_at: past });
  // Expired is deleted for whoever pulls, and nothing of it is told.
  const before = await pull(bob, cursor);
  expect(before.rows).toMatchObject([
    { id: "changed", content: null, deleted_at: past, hlc: changed.hlc },
    { id: "once", content: null, deleted_at: past },
  ]);
  expect(await count(bob, "cleanup_expired_memories")).toBe(2);
  expect(await count(bob, "cleanup_expired_memories")).toBe(0);
  for (const from of [cursor, before.cursor]) {
    const after = await pull(bob, from);
    expect(after.reset).toBe(false);
    expect(after.rows).toMatchObject([{ id: "changed", content: null, hlc: changed.hlc }]);
  }
  // An edit that was made before the clean-up and arrives after it counts.
  const edit = { id: "changed", content: "kept", hlc: { ...changed.hlc, counter: changed.hlc.counter + 1 } };
  expect(await callRows(database, alice, "push_memories", { memories: [edit] })).toMatchObject([
    { outcome: "applied", memory: { content: "kept", deleted_at: null } },
  ]);
});

test("tombstones stay as long as is said; a cursor from before those that are gone is reset, later ones are not", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await store(alice, { id: "k", content: "x" });
  await store(alice, { id: "shared", content: "x" });
  await store(alice, { id: "z", content: "x" });
  const old = await pull(bob);
  const middle = await pull(bob, null, { max_rows: 1 });
  await call(database, alice, "delete_memory", { id: "k" });
  await store(alice, { id: "shared", content: "x", scope: "agent" });
  const seen = await pull(bob, old.cursor);
  expect(seen.rows.map(({ id }) => id)).toEqual(["k", "shared"]);
  expect(await count(bob, "cleanup_tombstones")).toBe(0);
  await database.query(
    `update federation.hidden_memories set hidden_at = now() - interval '31 days' where tenant_id = $1`,
    [tenant],
  );
  await database.exec("alter table public.agent_memories disable trigger prepare");
  await database.query(
    `update public.agent_memories set updated_at = now() - interval '29 days' where tenant_id = $1 and id = 'k'`,
    [tenant],
  );
  await database.exec("alter table public.agent_memories enable trigger prepare");
  expect(await count(bob, "cleanup_tombstones")).toBe(0);
  await expect(call(database, bob, "keep_tombstones", { days: 1 })).rejects.toMatchObject({ code: "42501" });
  await expect(call(database, service, "keep_tombstones", { days: 0 })).rejects.toMatchObject({
    code: "22023",
  });
  await call(database, service, "keep_tombstones", { days: 28 });
  expect(await count(service, "cleanup_tombstones")).toBe(1);
  await call(database, service, "keep_tombstones", { days: 30 });
  for (const { cursor } of [old, middle]) {
    expect(await pull(bob, cursor)).toMatchObject({ rows: [], done: false, reset: true });
  }
  expect(await pull(bob, seen.cursor)).toMatchObject({ rows: [], done: true, reset: false });
  // A reading that began since then passes the place without being sent back.
  let page = await pull(bob, null, { max_rows: 1 });
  expect(page.rows.map(({ id }) => id)).toEqual(["z"]);
  await store(alice, { id: "y", content: "x" });
  for (; !page.done; page = await pull(bob, page.cursor, { max_rows: 1 })) expect(page.reset).toBe(false);
  expect(page.reset).toBe(false);
});

test("what is removed for good, an agent or a tenant too, makes every cursor of the tenant begin anew, and no other's", async () => {
  const [tenant, elsewhere] = [newTenant(), newTenant()];
  const [alice, bob, stranger] = [agent(tenant, "alice"), agent(tenant, "bob"), agent(elsewhere, "bob")];
  const others = await pull(stranger);
  const removals = [
    () => sql(database, service, "delete from public.agent_memories where tenant_id = $1", [tenant]),
    () => call(database, service, "delete_agent", { agent: "alice", tenant }),
    () => call(database, service, "delete_tenant", { tenant }),
  ];
  for (const remove of removals) {
    await store(alice, { id: "k", content: "x" });
    const { cursor } = await pull(bob);
    await remove();
    expect(await pull(bob, cursor)).toMatchObject({ reset: true });
    const anew = await pull(bob);
    expect(anew).toMatchObject({ rows: [], done: true, reset: false });
    expect(await pull(bob, anew.cursor)).toMatchObject({ done: true, reset: false });
  }
  expect(await pull(stranger, others.cursor)).toMatchObject({ done: true, reset: false });
  const { rows } = await database.query(
    "select count(*) from federation.pull_floors f where f::text like '%tenant-%'",
  );
  expect(rows).toEqual([["0"]]);
});

test("maintenance says so where there is no pg_cron, and is registered once where there is", async () => {
  expect(await call(database, service, "schedule_maintenance")).toMatchObject({
    scheduled: false,
    jobs: [],
    reason: expect.stringContaining("pg_cron") as string,
  });
  // Its one function that matters here, as pg_cron's documentation describes it.
  await database.exec(`
    create schema cron;
    create table cron.job (jobname text primary key, schedule text, command text);
    create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as $$
      insert into cron.job values (job_name, schedule, command)
      on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command;
      select 1::bigint $$;
    grant usage on schema cron to postgres; grant all on cron.job to postgres`);
  try {
    const tenant = newTenant();
    await store(agent(tenant, "alice"), { id: "k", content: "x", expires_at: past });
    for (const _ of [1, 2]) {
      expect(await call(database, service, "schedule_maintenance")).toEqual({
        scheduled: true,
        jobs: ["agent-federation-cleanup", "agent-federation-sweep"],
        reason: null,
      });
    }
    await call(database, agent(tenant, "alice"), "open_session", { session_id: "s", timeout_seconds: 60 });
    await database.query(
      "update public.agent_sessions set last_seen_at = now() - interval '61 seconds' where tenant_id = $1",
      [tenant],
    );
    const { rows } = await database.query("select command from cron.job");
    expect(rows).toHaveLength(2);
    for (const [command] of rows) await sql(database, { kind: "postgres" }, command ?? "");
    const ended = await database.query("select end_reason from public.agent_sessions where tenant_id = $1", [
      tenant,
    ]);
    expect(ended.rows).toEqual([["timeout"]]);
    const left = await database.query("select count(*) from public.agent_memories where tenant_id = $1", [
      tenant,
    ]);
    expect(left.rows).toEqual([["0"]]);
  } finally {
    await database.exec("drop schema cron cascade");
  }
});

test("if_version: a stale write is refused with both versions, and nothing of the call is stored", async () => {
  const alice = agent(newTenant(), "alice");
  const conflict = (expected: number, found: number) => ({
    code: "23505",
    detail: expect.stringContaining(`"found": ${found}`) as string,
    message: `memory 'k': expected ${expected === 0 ? "none" : `version ${expected}`}, found ${found === 0 ? "none" : `version ${found}`}`,
  });
  await expect(store(alice, { id: "k", content: "a", if_version: 1 })).rejects.toMatchObject(conflict(1, 0));
  expect(await store(alice, { id: "k", content: "a", if_version: 0 })).toMatchObject({ version: 1 });
  await expect(store(alice, { id: "k", content: "b", if_version: 0 })).rejects.toMatchObject(conflict(0, 1));
  expect(await store(alice, { id: "k", content: "b", if_version: 1 })).toMatchObject({ version: 2 });
  await expect(
    callRows(database, alice, "store_memories", {
      memories: [
        { id: "j", content: "x" },
        { id: "k", content: "c", if_version: 1 },
      ],
    }),
  ).rejects.toMatchObject(conflict(1, 2));
  expect(await call(database, alice, "get_memory", { id: "j" })).toBeNull();
  await call(database, alice, "delete_memory", { id: "k" });
  await expect(store(alice, { id: "k", content: "c", if_version: 3 })).rejects.toMatchObject(conflict(3, 0));
  expect(await store(alice, { id: "k", content: "c", if_version: 0 })).toMatchObject({
    content: "c",
    version: 4,
  });
  for (const if_version of [-1, 1.5, "x"]) {
    await expect(store(alice, { id: "k", content: "c", if_version })).rejects.toMatchObject({
      code: "22023",
    });
  }
});

test("ttl_seconds sets when it expires, by the server's time", async () => {
  const alice = agent(newTenant(), "alice");
  const { updated_at, expires_at } = await store(alice, { id: "k", content: "a", ttl_seconds: 90.5 });
  expect(Date.parse(String(expires_at)) - Date.parse(String(updated_at))).toBe(90_500);
  for (const bad of [{ ttl_seconds: 0 }, { ttl_seconds: "9" }, { ttl_seconds: 9, expires_at: past }]) {
    await expect(store(alice, { id: "k", content: "a", ...bad })).rejects.toMatchObject({ code: "22023" });
  }
});

test("skip_identical answers the memory that has the content already, of the same agent and scope", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const same = (id: string, more: object = {}) => ({ id, content: "same", skip_identical: true, ...more });
  expect(await store(alice, same("a"))).toMatchObject({ id: "a", version: 1 });
  expect(await store(alice, same("b", { metadata: { x: 1 } }))).toMatchObject({
    id: "a",
    metadata: {},
    version: 1,
  });
  expect(await store(alice, same("a"))).toMatchObject({ id: "a", version: 1 });
  expect(await store(bob, same("c"))).toMatchObject({ id: "c" });
  expect(await store(alice, same("own", { scope: "agent" }))).toMatchObject({ id: "own" });
  expect(await store(alice, same("d", { skip_identical: false }))).toMatchObject({ id: "d" });
  const batch = [
    same("e", { content: "new" }),
    { id: "f", content: "other" },
    same("g", { content: "new" }),
    same("h"),
  ];
  const answers = await callRows<Told>(database, alice, "store_memories", { memories: batch });
  expect(answers.map(({ id }) => id)).toEqual(["e", "f", "e", "a"]);
  for (const id of ["a", "d"]) await call(database, alice, "delete_memory", { id });
  expect(await store(alice, same("i"))).toMatchObject({ id: "i" });
});
