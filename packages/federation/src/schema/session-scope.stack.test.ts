/** What scope `session` admits, however one asks: the memory's agent and the agent whose session it names. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
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
  readonly content: string | null;
  readonly deleted_at: string | null;
  readonly session_agent: string | null;
}
interface Page {
  readonly rows: readonly Told[];
  readonly cursor: string;
}

const store = (caller: Caller, memory: object): Promise<Told> =>
  call<Told>(database, caller, "store_memory", { memory });
const open = (caller: Caller, id: string): Promise<unknown> =>
  call(database, caller, "open_session", { session_id: id });
async function pull(caller: Caller, cursor: string | null = null, args: object = {}): Promise<Page> {
  await settled(database);
  return await call<Page>(database, caller, "pull_memories", { cursor, ...args });
}

/** Every way to come by a memory, each as the ids it answers with. */
async function waysToRead(caller: Caller, ids: readonly string[], as: object = {}): Promise<string[][]> {
  const rows = (name: string, args: object): Promise<{ id: string }[]> =>
    callRows(database, caller, name, { ...args, ...as });
  const found = await Promise.all([
    rows("query_memories", {}),
    rows("search_memories", { embedding: "[1,0]" }),
    rows("find_memories", { query: { text: "water" } }),
    rows("find_memories", { query: { embedding: [1, 0] } }),
    rows("find_memories", { query: { embedding: [1, 0], text: "water" } }),
    rows("read_memories", { ids }),
    ...ids.map((id) => rows("get_memory", { id })),
  ]);
  const { rows: pulled } = await pull(caller, null, as);
  const changed = await call<Page>(database, caller, "pull_changes", { writer: "nobody", ...as });
  const lists = [...found.slice(0, 6), found.slice(6).flat(), pulled, changed.rows];
  return lists.map((list) => list.flatMap((row: { readonly id: string } | null) => row?.id ?? []).toSorted());
}

async function expectToRead(caller: Caller, ids: readonly string[], all: readonly string[]): Promise<void> {
  for (const way of await waysToRead(caller, all)) expect(way).toEqual(ids);
  const direct = await sql(database, caller, "select id from public.agent_memories order by id");
  expect(direct.rows.flat()).toEqual(ids);
  const stats = await call(database, caller, "federation_stats");
  expect(stats["total_memories"]).toBe(ids.length);
}

test("a memory of scope session is its agent's and that of the agent whose session it names, and nobody else's", async () => {
  const tenant = newTenant();
  const [alice, bob, carol] = [agent(tenant, "alice"), agent(tenant, "bob"), agent(tenant, "carol")];
  await open(bob, "of-bob");
  await open(alice, "of-alice");
  await open(carol, "of-carol");
  const note = { content: "water", embedding: [1, 0], scope: "session" };
  const all = ["none", "own", "to-bob"];
  expect(await store(alice, { ...note, id: "to-bob", session_id: "of-bob" })).toMatchObject({
    session_agent: "bob",
  });
  expect(await store(alice, { ...note, id: "own", session_id: "of-alice" })).toMatchObject({
    session_agent: null,
  });
  await store(alice, { ...note, id: "none" });
  await expectToRead(alice, all, all);
  await expectToRead(bob, ["to-bob"], all);
  await expectToRead(carol, [], all);
  await expectToRead(agent(newTenant(), "bob"), [], all);
  for (const [who, ids] of [
    ["alice", all],
    ["bob", ["to-bob"]],
    ["carol", []],
  ] as const) {
    const as = { as_agent: who, as_tenant: tenant };
    for (const way of await waysToRead(service, all, as)) expect(way).toEqual(ids);
    expect(await call(database, service, "federation_stats", as)).toMatchObject({
      total_memories: ids.length,
    });
  }
  // Reading is not writing.
  await expect(store(bob, { ...note, id: "to-bob", content: "mine" })).rejects.toMatchObject({
    code: "42501",
  });
  await expect(call(database, bob, "delete_memory", { id: "to-bob" })).rejects.toMatchObject({
    code: "42501",
  });
  expect(await call(database, bob, "delete_memories", { filter: { session: "of-bob" } })).toBe(0);
  expect(await call(database, carol, "delete_memory", { id: "to-bob" })).toBe(false);
  // What happened to it is its agent's to know.
  expect(await callRows(database, carol, "list_events")).not.toContainEqual(
    expect.objectContaining({ kind: "memory_stored" }),
  );
});

test("it is announced to those who may read it, in their inboxes, and to nobody when it goes from one to the other but to them", async () => {
  const tenant = newTenant();
  const [alice, bob, carol] = [agent(tenant, "alice"), agent(tenant, "bob"), agent(tenant, "carol")];
  for (const [who, id] of [
    [bob, "of-bob"],
    [carol, "of-carol"],
  ] as const) {
    await open(who, id);
  }
  const before = (await pull(carol)).cursor;
  const note = { id: "k", scope: "session" };
  const steps = [
    { ...note, session_id: "of-bob", content: "1" },
    { ...note, session_id: "of-bob", content: "2" },
    { ...note, session_id: "of-carol", content: "3" },
  ];
  const told = async (): Promise<unknown[]> =>
    (await announcements(database, tenant))
      .filter(({ event }) => event === "memory")
      .map(({ topic, payload }) => {
        const [memory] = payload["memories"] as Told[];
        return [topic.replace(`federation:${tenant}:`, ""), payload["op"], memory?.content ?? null].join(" ");
      });
  const heard: string[][] = [];
  let known = 0;
  const { cursor } = await pull(bob);
  for (const step of steps) {
    await store(alice, step);
    const now = await told();
    heard.push((now.slice(known) as string[]).toSorted());
    known = now.length;
  }
  await call(database, alice, "delete_memory", { id: "k" });
  heard.push(((await told()).slice(known) as string[]).toSorted());
  expect(heard).toEqual([
    ["agent:alice added 1", "agent:bob added 1"],
    ["agent:alice updated 2", "agent:bob updated 2"],
    ["agent:alice updated 3", "agent:bob deleted ", "agent:carol added 3"],
    ["agent:alice deleted ", "agent:carol deleted "],
  ]);
  // A replica of bob's learns that it is gone, carol's that it was deleted, dave's that there was nothing.
  for (const [who, from] of [
    [bob, cursor],
    [carol, before],
  ] as const) {
    expect((await pull(who, from)).rows).toMatchObject([
      { id: "k", content: null, deleted_at: expect.any(String) as string },
    ]);
  }
  expect((await pull(agent(tenant, "dave"), before)).rows).toEqual([]);
});

test("nobody comes by it afterwards: not by a session of that name, not by naming oneself", async () => {
  const tenant = newTenant();
  const [alice, bob, carol] = [agent(tenant, "alice"), agent(tenant, "bob"), agent(tenant, "carol")];
  const note = { id: "k", content: "water", embedding: [1, 0], scope: "session", session_id: "later" };
  await store(alice, note);
  await open(carol, "later");
  await expectToRead(carol, [], ["k"]);
  await open(agent(newTenant(), "alice"), "later");
  // What alice writes from now on she writes into carol's session; the same again is no write.
  await store(alice, note);
  await expectToRead(carol, [], ["k"]);
  expect(await store(alice, { ...note, content: "more water" })).toMatchObject({ session_agent: "carol" });
  await expectToRead(carol, ["k"], ["k"]);
  // Another's session is not to be had, and the column is nobody's to write.
  await expect(open(bob, "later")).rejects.toMatchObject({ code: "42501" });
  await sql(
    database,
    alice,
    "insert into public.agent_memories (id, content, scope, session_id, session_agent) values ('d', 'c', 'session', 'none', 'bob')",
  );
  await sql(database, alice, "update public.agent_memories set session_agent = 'bob' where id = 'd'");
  for (const attempt of [
    "insert into public.agent_sessions (tenant_id, session_id, agent_id) values (federation.tenant_id(), 'none', 'bob')",
    "update public.agent_sessions set agent_id = 'bob'",
  ]) {
    await expect(sql(database, bob, attempt)).rejects.toMatchObject({ code: "42501" });
  }
  await sql(database, bob, "update public.agent_memories set session_agent = 'bob', scope = 'tenant'");
  await expectToRead(bob, [], ["d", "k"]);
  // A closed session is still whose it was; of a removed agent's nothing is left, and nobody inherits it.
  await call(database, carol, "close_session", { session_id: "later" });
  await expectToRead(carol, ["k"], ["k"]);
  await call(database, service, "delete_agent", { agent: "carol", tenant });
  await open(bob, "later");
  await expectToRead(carol, [], ["d", "k"]);
  await expectToRead(bob, [], ["d", "k"]);
  const { rows } = await database.query(
    "select id, session_agent, content, version from public.agent_memories where tenant_id = $1 order by id",
    [tenant],
  );
  expect(rows).toEqual([
    ["d", null, "c", "2"],
    ["k", null, "more water", "3"],
  ]);
});

test("a push says no more than a store does, and its answer says whose the session is", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await open(bob, "of-bob");
  const hlc = { ms: Date.now(), counter: 0, writer: "w" };
  const memories = [
    { id: "k", content: "c", scope: "session", session_id: "of-bob", session_agent: "carol", hlc },
    { id: "l", content: "c", scope: "session", session_id: "none", session_agent: "carol", hlc },
    { id: "m", content: "c", scope: "agent", session_id: "of-bob", session_agent: "carol", hlc },
  ];
  expect(await callRows(database, alice, "push_memories", { memories, brief: true })).toMatchObject([
    { outcome: "applied", memory: { id: "k", session_agent: "bob" } },
    { outcome: "applied", memory: { id: "l", session_agent: null } },
    { outcome: "applied", memory: { id: "m", session_agent: null } },
  ]);
  await expectToReadIds(agent(tenant, "carol"), []);
  await expectToReadIds(bob, ["k"]);
});

async function expectToReadIds(caller: Caller, ids: readonly string[]): Promise<void> {
  expect((await pull(caller)).rows.map(({ id }) => id)).toEqual(ids);
}
