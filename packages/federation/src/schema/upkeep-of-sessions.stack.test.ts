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

async function silence(tenant: string, sessionId: string): Promise<void> {
  await database.query(
    "update public.agent_sessions set last_seen_at = now() - interval '91 seconds' where tenant_id = $1 and session_id = $2",
    [tenant, sessionId],
  );
}

/** Makes the last sweep and the last digest of a tenant lie a second back. */
async function aSecondLater(tenant: string): Promise<void> {
  await database.query(
    "update federation.upkeep set swept_at = swept_at - interval '1 second', told_at = told_at - interval '1 second' where tenant_id = $1",
    [tenant],
  );
}

async function told(tenant: string): Promise<Record<string, unknown>[][]> {
  const all = await announcements(database, tenant);
  return all
    .filter(({ event }) => event === "sessions")
    .map(({ payload }) => payload["sessions"] as Record<string, unknown>[]);
}

test("another agent's heartbeat ends a silent session, with the reason, once a second at most", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await call(database, alice, "open_session", { session_id: "a" });
  await call(database, bob, "open_session", { session_id: "b" });
  await aSecondLater(tenant);
  await silence(tenant, "a");
  expect(await call(database, bob, "heartbeat", { session_id: "b" })).toMatchObject({ alive: true });
  expect((await told(tenant)).at(-1)).toMatchObject([
    { session_id: "a", agent_id: "alice", status: "offline", end_reason: "timeout" },
  ]);
  expect(await call(database, alice, "heartbeat", { session_id: "a" })).toMatchObject({
    alive: false,
    end_reason: "timeout",
  });
  // Within the same second nobody looks again.
  await call(database, alice, "open_session", { session_id: "a" });
  await silence(tenant, "a");
  await call(database, bob, "heartbeat", { session_id: "b" });
  expect((await callRows(database, bob, "list_sessions")).map((row) => row["session_id"])).toEqual(["b"]);
  expect((await told(tenant)).at(-1)).toMatchObject([{ session_id: "a", ended_at: null }]);
  expect(await call(database, bob, "sweep")).toMatchObject({ sessions: 1 });
});

test("a sweep ends nothing of another tenant; a service sweeps all", async () => {
  const [ours, theirs] = [newTenant(), newTenant()];
  for (const tenant of [ours, theirs]) {
    await call(database, agent(tenant, "alice"), "open_session", { session_id: "s" });
    await silence(tenant, "s");
  }
  await call(database, agent(ours, "alice"), "sweep");
  const reasons = async (): Promise<unknown> =>
    (
      await database.query(
        "select tenant_id = $1, end_reason from public.agent_sessions where tenant_id in ($1, $2) order by 1",
        [ours, theirs],
      )
    ).rows;
  expect(await reasons()).toEqual([
    ["f", null],
    ["t", "timeout"],
  ]);
  expect(await call(database, service, "sweep")).toMatchObject({ sessions: expect.any(Number) as number });
  expect(await reasons()).toEqual([
    ["f", "timeout"],
    ["t", "timeout"],
  ]);
});

test("a large room is told at most one digest a second, and nothing is left out", async () => {
  const tenant = newTenant();
  await database.query(
    `insert into public.agent_sessions (tenant_id, session_id, agent_id, instance_id)
     select $1, 's' || n, 'a' || n, 'i' || n from generate_series(1, 110) n`,
    [tenant],
  );
  const alice = agent(tenant, "alice");
  const before = (await told(tenant)).length;
  const first = await call(database, alice, "open_session", { session_id: "s", metadata: { note: null } });
  expect(first).toMatchObject({ tell_in_ms: null });
  expect((await told(tenant)).slice(before)).toMatchObject([[{ session_id: "s", metadata: { note: null } }]]);
  await call(database, alice, "set_load", { session_id: "s", load: 0.5 });
  const changed = await call(database, alice, "update_session", { session_id: "s", status: "busy" });
  const waitMs = Number(changed["tell_in_ms"]);
  expect(waitMs).toBeGreaterThan(0);
  expect(waitMs).toBeLessThanOrEqual(1000);
  for (const n of [1, 2, 3])
    await call(database, agent(tenant, `a${n}`), "close_session", { session_id: `s${n}` });
  expect((await told(tenant)).length).toBe(before + 1);
  await aSecondLater(tenant);
  expect(await call(database, alice, "tell_sessions")).toBe(null);
  expect((await told(tenant)).slice(before + 1)).toMatchObject([
    [
      { session_id: "s", status: "busy", load: 0.5 },
      ...[1, 2, 3].map((n) => ({ session_id: `s${n}`, end_reason: "shutdown" })),
    ],
  ]);
  expect(await call(database, alice, "tell_sessions")).toBe(null); // nothing waits
  // Each digest names the newest change of the one before it.
  await call(database, alice, "set_load", { session_id: "s", load: 0.75 });
  await aSecondLater(tenant);
  await call(database, alice, "tell_sessions");
  const [previous, last] = (await announcements(database, tenant))
    .filter(({ event }) => event === "sessions")
    .slice(-2)
    .map(({ payload }) => payload as { after?: number; sessions: { seq: number }[] });
  expect(last?.after).toBe(Math.max(...(previous?.sessions ?? []).map(({ seq }) => seq)));
});

test("what is told of many sessions at once fits into frames of 200 kB", async () => {
  const tenant = newTenant();
  await database.query(
    `insert into public.agent_sessions (tenant_id, session_id, agent_id, task)
     select $1, 's' || n, 'a' || n, case when n > 101 then repeat('x', 3000) end from generate_series(1, 300) n`,
    [tenant],
  );
  const before = (await told(tenant)).length;
  await aSecondLater(tenant);
  await database.query("update public.agent_sessions set status = 'busy' where tenant_id = $1", [tenant]);
  await aSecondLater(tenant);
  await call(database, agent(tenant, "alice"), "tell_sessions");
  const frames = (await told(tenant)).slice(before);
  expect(frames.flat().filter(({ status }) => status === "busy").length).toBeGreaterThanOrEqual(300);
  for (const frame of frames) expect(JSON.stringify(frame).length).toBeLessThan(200_000);
});

test("who opens exclusively ends the agent's other sessions, and what was replaced stays so", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await call(database, alice, "open_session", { session_id: "old", instance_id: "1" });
  await call(database, agent(tenant, "bob"), "open_session", { session_id: "bob" });
  await call(database, alice, "open_session", { session_id: "new", instance_id: "2" });
  // Of two that want to be alone, the newer one stays.
  expect(await call(database, alice, "end_older_sessions", { session_id: "old" })).toBe(0);
  expect(await call(database, alice, "end_older_sessions", { session_id: "new" })).toBe(1);
  const living = await callRows(database, alice, "list_sessions");
  expect(living.map((session) => String(session["session_id"])).toSorted()).toEqual(["bob", "new"]);
  expect(await call(database, alice, "heartbeat", { session_id: "old" })).toMatchObject({
    alive: false,
    end_reason: "replaced",
  });
  await expect(call(database, alice, "open_session", { session_id: "old" })).rejects.toMatchObject({
    code: "55000",
    message: "session 'old' was replaced by another process of agent alice",
  });
});

test.each([-0.1, 1.1])("a load of %d is refused", async (load) => {
  const alice = agent(newTenant(), "alice");
  await call(database, alice, "open_session", { session_id: "s" });
  const setting = call(database, alice, "set_load", { session_id: "s", load });
  await expect(setting).rejects.toMatchObject({ code: "22023" });
});

test("a lock that ran out is let go by the next heartbeat of anybody, and everybody is told; others stay", async () => {
  const [tenant, other] = [newTenant(), newTenant()];
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await call(database, bob, "open_session", { session_id: "b" });
  const take = (who: typeof alice, name: string): Promise<Record<string, unknown>> =>
    call(database, who, "take_lock", { name, instance_id: "i" });
  const [out] = [
    await take(alice, "out"),
    await take(alice, "held"),
    await take(agent(other, "alice"), "out"),
  ];
  await database.query(
    "update public.agent_locks set expires_at = now() - interval '1 ms' where tenant_id in ($1, $2) and name = 'out'",
    [tenant, other],
  );
  await aSecondLater(tenant);
  await call(database, bob, "heartbeat", { session_id: "b" });
  const freed = async (where: string): Promise<unknown[]> =>
    (await announcements(database, where))
      .filter(({ event, payload }) => event === "lock" && payload["state"] === "freed")
      .map(({ topic, payload }) => [topic, payload]);
  expect(await freed(tenant)).toMatchObject([
    [`federation:${tenant}:feed`, { name: "out", holder: "alice", fence: out["fence"] }],
  ]);
  expect(await freed(other)).toEqual([]);
  expect(await take(bob, "out")).toMatchObject({ held: true });
  expect(await take(bob, "held")).toMatchObject({ held: false, holder: "alice" });
});
