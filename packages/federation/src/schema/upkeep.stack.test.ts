import { randomUUID } from "node:crypto";
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
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

const tables = [
  "agent_sessions",
  "agent_memories",
  "agent_messages",
  "agent_tasks",
  "agent_task_queue",
  "agent_events",
];

/** Alice, bob and carol at work, with everything that leaves a trace. */
async function fill(tenant: string): Promise<void> {
  for (const [name, other] of [
    ["alice", "bob"],
    ["bob", "carol"],
    ["carol", "alice"],
  ] as const) {
    const me = agent(tenant, name);
    await call(database, me, "open_session", { session_id: `s-${name}` });
    await call(database, me, "send_message", { id: `m-${name}`, to_agent: other, type: "t", payload: {} });
    await call(database, me, "send_message", { id: `b-${name}`, to_agent: null, type: "t", payload: {} });
    await call(database, me, "send_message", {
      id: `l-${name}`,
      to_agent: other,
      type: "t",
      payload: { text: "x".repeat(200_001) },
    });
    await call(database, me, "assign_task", {
      task: { task_id: `t-${name}`, assigned_to: other, description: "d" },
    });
    await call(database, me, "store_memory", { memory: { id: `k-${name}`, content: "c" } });
    await call(database, me, "store_memory", { memory: { id: `o-${name}`, content: "c", scope: "agent" } });
    // So large that only their ids are announced.
    await call(database, me, "store_memories", {
      memories: Array.from({ length: 3 }, (_, index) => ({
        id: `${name}-${index}`,
        content: "c".repeat(70_000),
      })),
    });
    await call(database, me, "delete_memory", { id: `k-${name}` });
  }
}

/** Every row and stored broadcast in which `text` appears. */
async function traces(text: string): Promise<string[]> {
  const { rows } = await database.query(
    [
      ...tables.map((table) => `select '${table}' from public.${table} t where to_jsonb(t)::text like $1`),
      "select 'broadcast' from realtime.messages m where m.topic like $1 or m.payload::text like $1 or m.event like $1",
    ].join(" union all "),
    [`%${text}%`],
  );
  return rows.map(([table]) => table ?? "");
}

test("delete_agent leaves no trace of the agent and everything of the others", async () => {
  const [tenant, elsewhere] = [newTenant(), newTenant()];
  await fill(tenant);
  await fill(elsewhere);
  const others = await traces(elsewhere);
  await expect(
    call(database, agent(tenant, "alice"), "delete_agent", { agent: "bob", tenant }),
  ).rejects.toMatchObject({ code: "42501" });
  const counts = await call(database, service, "delete_agent", { agent: "bob", tenant });
  expect(counts).toMatchObject({
    agent_sessions: 1,
    agent_memories: 5,
    agent_tasks: 2,
    agent_task_queue: 2,
    agent_messages: 7,
  });
  expect(counts["broadcasts"]).toBeGreaterThan(10);
  const left = [...(await inTenant(tenant, "bob"))];
  expect(left).toEqual([]);
  expect((await inTenant(tenant, "alice")).length).toBeGreaterThan(20);
  expect((await callRows(database, agent(tenant, "alice"), "pull_inbox")).map(({ id }) => id)).toContain(
    "m-carol",
  );
  expect(await traces(elsewhere)).toEqual(others);
  expect(await call(database, service, "delete_agent", { agent: "bob", tenant })).toMatchObject({
    agent_tasks: 0,
    broadcasts: 0,
  });
});

test("delete_agent also forgets what was announced of several of its messages at once", async () => {
  const tenant = newTenant();
  const tasks = ["t1", "t2", "t3"].map((task_id) => ({ task_id, assigned_to: "bob", description: "d" }));
  await call(database, agent(tenant, "alice"), "assign_tasks", { tasks });
  await call(database, agent(tenant, "bob"), "next_tasks", {
    claim_id: randomUUID(),
    max_tasks: 0,
    ended: tasks.map(({ task_id }) => ({ task_id, result: {} })),
  });
  const told = (await announcements(database, tenant)).filter(({ topic }) => topic.endsWith(":agent:alice"));
  expect(told.map(({ payload }) => payload)).toMatchObject([
    { messages: tasks.map(({ task_id }) => ({ from_agent: "bob", payload: { task_id } })) },
  ]);
  await call(database, service, "delete_agent", { agent: "bob", tenant });
  expect(await inTenant(tenant, "bob")).toEqual([]);
});

/** Where `name` appears within the tenant. */
async function inTenant(tenant: string, name: string): Promise<string[]> {
  const { rows } = await database.query(
    [
      ...tables.map(
        (table) =>
          `select '${table}' from public.${table} t where tenant_id = $1 and to_jsonb(t)::text like $2`,
      ),
      `select topic from realtime.messages m where (topic = 'federation:' || $1 or starts_with(topic, 'federation:' || $1 || ':'))
         and (m.topic like $2 or m.payload::text like $2)`,
    ].join(" union all "),
    [tenant, `%${name}%`],
  );
  return rows.map(([table]) => table ?? "");
}

test("delete_tenant leaves no trace of the tenant, and tells nobody", async () => {
  // One name begins with the other: the shorter one's end must not be the longer one's.
  const [tenant, longer] = [newTenant(), newTenant()].map((name, _, all) =>
    name === all[1] ? `${all[0]}-2` : name,
  );
  if (tenant === undefined || longer === undefined) throw new Error("two tenants");
  await fill(tenant);
  await fill(longer);
  const before = (await traces(longer)).length;
  await expect(call(database, agent(tenant, "alice"), "delete_tenant", { tenant })).rejects.toMatchObject({
    code: "42501",
  });
  const counts = await call(database, service, "delete_tenant", { tenant });
  expect(counts).toMatchObject({ agent_sessions: 3, agent_tasks: 3, agent_task_queue: 3 });
  expect((await traces(`${tenant}"`)).concat(await traces(`${tenant}:`))).toEqual([]);
  expect(await announcements(database, tenant)).toEqual([]);
  expect((await traces(longer)).length).toBe(before);
});

test.each([
  ["delete_agent", { agent: "a", tenant: "" }, "22023"],
  ["delete_agent", { agent: null, tenant: "t" }, "22023"],
  ["delete_agent", { agent: "a", tenant: null }, "22023"],
  ["delete_tenant", { tenant: null }, "22023"],
  ["delete_tenant", { tenant: "a:b" }, "22023"],
])("%s refuses %j", async (name, args, code) => {
  await expect(call(database, service, name, args)).rejects.toMatchObject({ code });
});

test("events are who, what and when, in pages, and never what was said", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await call(database, alice, "send_message", {
    id: "m",
    to_agent: "bob",
    type: "t",
    payload: { text: "swordfish" },
  });
  await call(database, alice, "store_memory", { memory: { id: "k", content: "swordfish" } });
  const events = await callRows<{ seq: number; kind: string }>(
    database,
    agent(tenant, "carol"),
    "list_events",
  );
  expect(events).toMatchObject([
    { kind: "message_stored", agent_id: "alice", peer: "bob", subject: "m", tenant_id: tenant },
    { kind: "memory_stored", agent_id: "alice", peer: null, subject: "k" },
  ]);
  expect(JSON.stringify(events)).not.toContain("swordfish");
  const rest = await callRows(database, alice, "list_events", { after_seq: events[0]?.seq, max_rows: 5 });
  expect(rest).toEqual(events.slice(1));
  expect(await callRows(database, agent(newTenant(), "alice"), "list_events")).toEqual([]);
});

test("the numbers are those of the tenant, and of all tenants for a service that names none", async () => {
  const tenant = newTenant();
  const before = await call<Record<string, number>>(database, service, "federation_stats");
  await fill(tenant);
  expect(await call(database, agent(tenant, "alice"), "federation_stats")).toEqual({
    total_memories: 3 * 3 + 1,
    active_sessions: 3,
    total_messages: 3 + 2 + 2 + 2,
    open_tasks: 3,
  });
  expect(await call(database, service, "federation_stats", { as_tenant: tenant })).toEqual({
    total_memories: 3 * 3 + 3,
    active_sessions: 3,
    total_messages: 12,
    open_tasks: 3,
  });
  const after = await call<Record<string, number>>(database, service, "federation_stats");
  expect(Number(after["active_sessions"]) - Number(before["active_sessions"])).toBe(3);
});
