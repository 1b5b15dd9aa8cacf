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
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

test("a session opens, beats, changes and closes, and each change but a heartbeat is announced", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const opened = await call(database, alice, "open_session", {
    session_id: "s",
    instance_id: "i1",
    task: "reading",
    capabilities: ["read", 'a "quoted" one'],
    metadata: { room: 1 },
  });
  expect(opened).toMatchObject({
    session_id: "s",
    tenant_id: tenant,
    agent_id: "alice",
    instance_id: "i1",
    status: "online",
    task: "reading",
    capabilities: ["read", 'a "quoted" one'],
    metadata: { room: 1 },
    timeout_seconds: 90,
    ended_at: null,
    version: 1,
  });
  expect(opened).not.toHaveProperty("tx");
  expect(opened).not.toHaveProperty("row_id");

  const beat = await call(database, alice, "heartbeat", { session_id: "s" });
  expect(beat).toMatchObject({
    alive: true,
    positions: { inbox: 0, feed: 0, queue: 0, roster: opened["seq"] },
  });
  const [session] = await callRows(database, alice, "list_sessions");
  expect(session).toMatchObject({ seq: opened["seq"], version: 1, task: "reading" });
  expect(new Date(String(session?.["last_seen_at"])) > new Date(String(opened["last_seen_at"]))).toBe(true);

  await call(database, alice, "heartbeat", { session_id: "s", status: "busy", task: "writing" });
  expect(await call(database, alice, "update_session", { session_id: "s", status: "online" })).toMatchObject({
    status: "online",
    task: null,
    metadata: { room: 1 },
  });
  const closed = await call(database, alice, "close_session", { session_id: "s", reason: "done" });
  expect(closed).toMatchObject({
    status: "offline",
    end_reason: "done",
    ended_at: expect.any(String) as string,
  });
  expect(await call(database, alice, "close_session", { session_id: "s", reason: "again" })).toMatchObject({
    ended_at: closed["ended_at"],
    end_reason: "done",
  });
  expect(await call(database, alice, "heartbeat", { session_id: "s" })).toMatchObject({ alive: false });
  for (const caller of [{ as: alice }, { as: service, as_tenant: tenant }]) {
    const { as, ...args } = caller;
    await expect(
      call(database, as, "update_session", { session_id: "s", status: "busy", ...args }),
    ).rejects.toMatchObject({ code: "P0002", message: "no open session 's' of this agent" });
  }
  expect(await call(database, alice, "open_session", { session_id: "s" })).toMatchObject({
    ended_at: null,
    end_reason: null,
  });

  const told = await announcements(database, tenant);
  expect(
    told.map(({ topic, event, payload }) => {
      const [session] = payload["sessions"] as Record<string, unknown>[];
      return [topic, event, session?.["status"], session?.["end_reason"]];
    }),
  ).toEqual(
    [
      ["online", null],
      ["busy", null],
      ["online", null],
      ["offline", "done"],
      ["online", null],
    ].map((state) => [`federation:${tenant}:feed`, "sessions", ...state]),
  );
  const events = await callRows(database, alice, "list_events");
  expect(events.map((event) => [event["kind"], event["subject"], event["agent_id"]])).toEqual(
    ["session_opened", "session_closed", "session_opened"].map((kind) => [kind, "s", "alice"]),
  );
});

test("another agent's session cannot be taken over, changed, closed or kept alive", async () => {
  const tenant = newTenant();
  await call(database, agent(tenant, "alice"), "open_session", { session_id: "s" });
  const bob = agent(tenant, "bob");
  await expect(call(database, bob, "open_session", { session_id: "s" })).rejects.toMatchObject({
    code: "42501",
  });
  await expect(call(database, bob, "update_session", { session_id: "s", status: "x" })).rejects.toMatchObject(
    {
      code: "P0002",
    },
  );
  await expect(call(database, bob, "close_session", { session_id: "s" })).rejects.toMatchObject({
    code: "P0002",
  });
  expect(await call(database, bob, "heartbeat", { session_id: "s" })).toMatchObject({ alive: false });
  // The same id in another tenant is another session.
  await call(database, agent(newTenant(), "bob"), "open_session", { session_id: "s" });
  expect(await callRows(database, bob, "list_sessions")).toMatchObject([
    { agent_id: "alice", status: "online" },
  ]);
  expect(
    await call(database, service, "update_session", { session_id: "s", status: "busy", as_tenant: tenant }),
  ).toMatchObject({ agent_id: "alice", status: "busy" });
});

test("a session that has not been seen for its timeout is not listed, and comes back with its next heartbeat", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await call(database, alice, "open_session", { session_id: "s", timeout_seconds: 10 });
  await sql(
    database,
    service,
    "update public.agent_sessions set last_seen_at = now() - interval '11 seconds' where tenant_id = $1",
    [tenant],
  );
  expect(await callRows(database, alice, "list_sessions")).toEqual([]);
  expect(await call(database, alice, "federation_stats")).toMatchObject({ active_sessions: 0 });
  expect(await call(database, alice, "heartbeat", { session_id: "s" })).toMatchObject({ alive: true });
  expect(await callRows(database, alice, "list_sessions")).toHaveLength(1);
});

test("the heartbeat's positions are the newest of inbox, feed and queue, each for the one who asks", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const positions = async (caller: typeof alice) =>
    (await call<{ positions: Record<string, number> }>(database, caller, "heartbeat", { session_id: "s" }))
      .positions;
  const direct = await call(database, alice, "send_message", {
    id: "1",
    to_agent: "bob",
    type: "t",
    payload: {},
  });
  expect(await positions(bob)).toEqual({ inbox: direct["seq"], feed: 0, queue: 0, roster: 0 });
  expect(await positions(alice)).toEqual({ inbox: 0, feed: 0, queue: 0, roster: 0 });
  await call(database, bob, "mark_messages", { ids: ["1"], state: "handled" });
  expect(await positions(bob)).toMatchObject({ inbox: direct["seq"] });

  const toAll = await call(database, alice, "send_message", {
    id: "2",
    to_agent: null,
    type: "t",
    payload: {},
  });
  expect(await positions(bob)).toMatchObject({ feed: toAll["seq"] });
  const memory = await call(database, alice, "store_memory", { memory: { id: "k", content: "c" } });
  await call(database, alice, "store_memory", { memory: { id: "own", content: "c", scope: "agent" } });
  expect(await positions(bob)).toMatchObject({ feed: memory["seq"] });

  await call(database, alice, "assign_task", {
    task: { task_id: "t", assigned_to: "bob", description: "d" },
  });
  const { queue } = await positions(bob);
  expect(queue).toBeGreaterThan(Number(memory["seq"]));
  expect(await positions(alice)).toMatchObject({ queue: 0 });
  await call(database, bob, "complete_task", { task_id: "t", result: {} });
  expect(await positions(bob)).toMatchObject({ queue: 0 });
});

test.each([
  [{ session_id: "" }, "session_id: expected 1 to 255 bytes, got 0"],
  [{ session_id: null }, "session_id: expected a text, got nothing"],
  [{ session_id: "x".repeat(256) }, "session_id: expected 1 to 255 bytes, got 256"],
  [{ session_id: "s", timeout_seconds: 0 }, "timeout_seconds: expected 1 to 86400, got 0"],
  [{ session_id: "s", status: "" }, "status: expected 1 to 64 bytes, got 0"],
  [{ session_id: "s", metadata: "[]" }, "metadata: expected an object, got array"],
])("open_session refuses %j", async (args, message) => {
  await expect(call(database, agent("t", "a"), "open_session", args)).rejects.toMatchObject({
    code: "22023",
    message,
  });
});
