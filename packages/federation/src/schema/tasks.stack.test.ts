import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { nativeUrl } from "../../../../test-support/database.ts";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
  as,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  rpc,
  service,
  sql,
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

const review = { task_id: "t1", assigned_to: "bob", description: "review it", priority: "high" };

test("a task is stored, queued, sent to its agent, completed, and told to whoever assigned it", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const task = {
    ...review,
    deadline: "2030-01-01T00:00:00Z",
    dependencies: ["t0"],
    topic: "safety",
    status: "mine",
    assigned_by: "carol",
  };
  const assigned = await call(database, alice, "assign_task", { task });
  expect(assigned).toMatchObject({
    ...review,
    tenant_id: tenant,
    assigned_by: "alice",
    status: "assigned",
    dependencies: ["t0"],
    deadline: "2030-01-01T00:00:00+00:00",
    topic: "safety",
    attempt: 0,
    max_attempts: 3,
    fence: 0,
    result: null,
    version: 1,
  });
  expect(assigned).not.toHaveProperty("row_id");
  expect(assigned).not.toHaveProperty("details");
  const [message] = await callRows(database, bob, "pull_inbox");
  expect(message).toMatchObject({
    type: "task_assignment",
    from_agent: "alice",
    to_agent: "bob",
    correlation_id: "t1",
  });
  expect(message?.["payload"]).toEqual({ ...task, assigned_by: "alice" });
  const queued = await sql(database, bob, "select assigned_to, priority, fence from public.agent_task_queue");
  expect(queued.rows).toEqual([["bob", "1", "0"]]);

  const completed = await call(database, bob, "complete_task", { task_id: "t1", result: { found: 3 } });
  expect(completed).toMatchObject({ status: "completed", result: { found: 3 }, progress: 1, version: 2 });
  expect(await call(database, bob, "complete_task", { task_id: "t1", result: '"other"' })).toEqual(completed);
  expect((await sql(database, bob, "select from public.agent_task_queue")).rows).toEqual([]);
  expect(await callRows(database, alice, "pull_inbox")).toMatchObject([
    {
      type: "task_complete",
      payload: { task_id: "t1", result: { found: 3 }, completed_by: "bob" },
      hop_count: 1,
      correlation_id: "t1",
    },
  ]);
  expect(await call(database, agent(tenant, "carol"), "get_task", { task_id: "t1" })).toEqual(completed);

  const feed = (await announcements(database, tenant)).filter(({ event }) => event === "tasks");
  expect(feed).toMatchObject(
    ["assigned", "completed"].map((status) => ({
      topic: `federation:${tenant}:feed`,
      payload: { tasks: [{ task_id: "t1", status, assigned_to: "bob", assigned_by: "alice" }] },
    })),
  );
  const events = (await callRows(database, alice, "list_events")).filter(({ kind }) =>
    String(kind).startsWith("task"),
  );
  expect(events.map(({ kind, agent_id, peer, subject }) => [kind, agent_id, peer, subject])).toEqual([
    ["task_assigned", "alice", "bob", "t1"],
    ["task_completed", "bob", "alice", "t1"],
  ]);
});

test("a task assigned to oneself arrives", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await call(database, alice, "assign_task", { task: { ...review, assigned_to: "alice" } });
  expect(await callRows(database, alice, "pull_inbox")).toMatchObject([{ type: "task_assignment" }]);
});

test("the same task again is the same task; other content under its id is refused", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const first = await call(database, alice, "assign_task", { task: review });
  const again = Object.fromEntries(Object.entries(review).toReversed());
  expect(await call(database, alice, "assign_task", { task: again })).toEqual(first);
  await expect(
    call(database, alice, "assign_task", { task: { ...review, description: "another" } }),
  ).rejects.toMatchObject({ code: "23505" });
  expect(await callRows(database, agent(tenant, "bob"), "pull_inbox")).toHaveLength(1);
  await call(database, agent(tenant, "bob"), "complete_task", { task_id: "t1", result: 1 });
  expect(await call(database, alice, "assign_task", { task: review })).toMatchObject({ status: "completed" });
  // Task ids are unique in a tenant, not in the world.
  await call(database, agent(newTenant(), "alice"), "assign_task", { task: { ...review, description: "x" } });
});

test("only the agent it is assigned to completes a task", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await call(database, alice, "assign_task", { task: review });
  const complete = (who: typeof alice, args: object = {}) =>
    call(database, who, "complete_task", { task_id: "t1", result: {}, ...args });
  await expect(complete(alice)).rejects.toMatchObject({ code: "42501" });
  await expect(complete(agent(newTenant(), "bob"))).rejects.toMatchObject({ code: "P0002" });
  await expect(complete(bob, { task_id: "unknown" })).rejects.toMatchObject({ code: "P0002" });
  await expect(complete(bob, { fence: 4 })).rejects.toMatchObject({ code: "55000" });
  await sql(
    database,
    service,
    "update public.agent_tasks set status = 'cancelled', ended_at = now() where tenant_id = $1",
    [tenant],
  );
  await expect(complete(bob)).rejects.toMatchObject({
    code: "55000",
    message: "task 't1' has ended already: cancelled",
  });
  expect(await callRows(database, alice, "pull_inbox")).toEqual([]);
  expect(await call(database, bob, "get_task", { task_id: "unknown" })).toBeNull();
});

test("a task for a capability, or expressly for whoever is free, is queued and sent to nobody", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  for (const task of [
    { task_id: "1", description: "d", capability: "review" },
    { task_id: "2", description: "d", assigned_to: null },
  ]) {
    expect(await call(database, alice, "assign_task", { task })).toMatchObject({
      status: "pending",
      assigned_to: null,
    });
  }
  const queued = await sql(
    database,
    alice,
    "select capability, assigned_to, priority from public.agent_task_queue order by seq",
  );
  expect(queued.rows).toEqual([
    ["review", null, "2"],
    [null, null, "2"],
  ]);
  expect((await announcements(database, tenant)).map(({ event }) => event)).toEqual([
    "tasks",
    "task_ready",
    "tasks",
    "task_ready",
  ]);
});

test("tasks that are assigned together are announced together, in their order; what was assigned before is not", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const tasks = [
    { task_id: "1", description: "d", capability: "review" },
    { task_id: "2", description: "d", assigned_to: "bob" },
    { task_id: "3", description: "d", assigned_to: null, priority: "high" },
    { task_id: "4", description: "d", assigned_to: "bob", dependencies: ["5"] },
    { task_id: "1", description: "d", capability: "review" },
    { task_id: "5", description: "d", assigned_to: "bob" },
  ];
  const stored = await callRows(database, alice, "assign_tasks", { tasks });
  expect(stored.map(({ task_id }) => task_id)).toEqual(["1", "2", "3", "4", "1", "5"]);
  const [feed, inbox] = [`federation:${tenant}:feed`, `federation:${tenant}:agent:bob`];
  const ids = (...task_ids: string[]): object[] => task_ids.map((task_id) => ({ task_id }));
  expect(await announcements(database, tenant)).toMatchObject([
    { topic: feed, event: "tasks", payload: { tasks: ids("1", "2", "3", "4", "5") } },
    { topic: feed, event: "task_ready", payload: { tasks: ids("1", "3") } },
    { topic: inbox, event: "task_ready", payload: { tasks: ids("2", "5") } },
    {
      topic: inbox,
      event: "message",
      payload: { messages: ["2", "4", "5"].map((task_id) => ({ payload: { task_id } })) },
    },
  ]);
  expect(await callRows(database, alice, "assign_tasks", { tasks })).toEqual(stored);
  expect(await announcements(database, tenant)).toHaveLength(4);
});

test("of tasks that are assigned together all are stored or none", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const task = (task_id: string, more: object = {}): object => ({ ...review, task_id, ...more });
  const assign = (...tasks: readonly object[]) => callRows(database, alice, "assign_tasks", { tasks });
  await assign(task("known"));
  await expect(assign(task("a"), task("known", { description: "other" }))).rejects.toMatchObject({
    code: "23505",
    message: "task 'known' exists already, with other content",
  });
  await expect(assign(task("a"), task("a", { description: "other" }))).rejects.toMatchObject({
    code: "23505",
  });
  await expect(
    assign(task("a", { dependencies: ["b"] }), task("b", { dependencies: ["a"] })),
  ).rejects.toThrow(/waits for itself/);
  await expect(assign(task("a"), task("b", { priority: "urgent" }))).rejects.toMatchObject({ code: "22023" });
  expect(await callRows(database, alice, "list_tasks")).toMatchObject([{ task_id: "known" }]);
});

// The embedded database has one connection: nothing happens at once there.
test.skipIf(nativeUrl === undefined)(
  "a task assigned and completed by eight at once is one task",
  async () => {
    const tenant = newTenant();
    const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
    const eight = async (run: () => Promise<unknown>) =>
      new Set((await Promise.all(Array.from({ length: 8 }, run))).map((answer) => JSON.stringify(answer)))
        .size;
    expect(await eight(() => call(database, alice, "assign_task", { task: review }))).toBe(1);
    expect(await callRows(database, bob, "pull_inbox")).toHaveLength(1);
    const complete = { task_id: "t1", result: { done: true } };
    expect(await eight(() => call(database, bob, "complete_task", complete))).toBe(1);
    expect(await callRows(database, alice, "pull_inbox")).toHaveLength(1);
  },
);

test.each([
  [null, "task: expected an object, got nothing"],
  ["[]", "task: expected an object, got array"],
  [{}, "task_id: expected a text, got nothing"],
  [{ task_id: "t", description: "d" }, /^assigned_to: expected an agent .*got nothing$/],
  [{ ...review, assigned_to: "" }, /^assigned_to: expected 1 to 128 characters/],
  [{ ...review, description: null }, "description: expected a text, got nothing"],
  [{ ...review, priority: "urgent" }, "priority: expected critical, high, medium or low, got 'urgent'"],
  [{ ...review, dependencies: "t0" }, "dependencies: expected an array of task ids, got string"],
  [{ ...review, deadline: "soon" }, /^task: invalid input syntax for type timestamp/],
  [{ ...review, max_attempts: "many" }, /^task: invalid input syntax for type integer/],
  [{ ...review, max_attempts: 0 }, /^expected max_attempts 1 to 1000/],
  [{ ...review, extra: "x".repeat(1_048_576) }, /^task: expected at most 1048576 bytes/],
])("assign_task refuses %j", async (task, message) => {
  const tenant = newTenant();
  await expect(call(database, agent(tenant, "a"), "assign_task", { task })).rejects.toMatchObject({
    code: "22023",
    message: typeof message === "string" ? message : (expect.stringMatching(message) as string),
  });
  expect(await announcements(database, tenant)).toEqual([]);
});

test("to end tasks or to keep them, no others are read, however many the tenant has", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const tasks = Array.from({ length: 500 }, (_, n) => ({
    task_id: `t${n}`,
    assigned_to: "alice",
    description: "d",
  }));
  await call(database, alice, "assign_tasks", { tasks });
  await database.query("analyze public.agent_tasks, public.agent_task_queue, public.agent_messages");
  const held = await callRows<{ task_id: string; fence: number }>(database, alice, "claim_tasks", {
    max_tasks: 10,
  });
  const leases = held.map(({ task_id, fence }) => ({ task_id, fence }));
  const ended = leases.map((lease) => ({ ...lease, result: {} }));
  const read = await as(database, alice, async (session) => {
    // On a server also what the same backend did just before.
    const rowsRead = async (): Promise<number> => {
      const { rows } = await session.query(
        "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_all_tables where relid = 'public.agent_tasks'::regclass",
      );
      return Number(rows[0]?.[0]);
    };
    // A table of a few pages is read as a whole for good reason; what counts is that nothing has to be.
    await session.query("select set_config('enable_seqscan', 'off', true)");
    const before = await rowsRead();
    await rpc(session, "renew_tasks", { leases });
    await rpc(session, "next_tasks", { claim_id: randomUUID(), max_tasks: 0, ended });
    return (await rowsRead()) - before;
  });
  expect(await call(database, alice, "get_task", { task_id: leases[0]?.task_id ?? "" })).toMatchObject({
    status: "completed",
  });
  expect(read).toBeGreaterThan(0);
  expect(read).toBeLessThan(200);
});
