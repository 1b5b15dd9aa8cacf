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

/** One message of each kind that matters, `days` old in all its times. */
async function fill(tenant: string, days: number): Promise<void> {
  for (const [kind, facts] of Object.entries({
    waiting: "to_agent = 'bob'",
    delivered: "to_agent = 'bob', delivered_at = then",
    handled: "to_agent = 'bob', delivered_at = then, handled_at = then",
    answered: "to_agent = 'bob', delivered_at = then, handled_at = then, expires_at = then",
    dead: "to_agent = 'bob', delivered_at = then, dead_at = then",
    expired: "to_agent = 'bob', expires_at = then",
    broadcast: "to_agent = null",
    brief: "to_agent = null, expires_at = then",
  })) {
    await database.query(
      `insert into public.agent_messages (tenant_id, id, from_agent, to_agent, type, payload) values ($1, $2, 'alice', 'bob', 't', '1')`,
      [tenant, `${kind}-${days}`],
    );
    const at = `now() - interval '${days} days'`;
    await database.query(
      `update public.agent_messages set created_at = ${at}, ${facts.replaceAll("then", at)} where tenant_id = $1 and id = $2`,
      [tenant, `${kind}-${days}`],
    );
  }
}

async function left(tenant: string): Promise<(string | null)[]> {
  const { rows } = await database.query(
    "select id from public.agent_messages where tenant_id = $1 order by seq",
    [tenant],
  );
  return rows.map(([id]) => id ?? null);
}

const kept = ["waiting", "delivered", "handled", "answered", "dead", "broadcast"];

test("what was handled, given up or said to all stays for 30 days, what expired for one, what waits for ever", async () => {
  const [tenant, other] = [newTenant(), newTenant()];
  for (const days of [31, 29, 0]) await fill(tenant, days);
  await fill(other, 31);
  const before = await left(other);
  const alice = agent(tenant, "alice");
  expect(await call(database, alice, "cleanup_messages")).toBe(8);
  expect(await left(tenant)).toEqual([
    "waiting-31",
    "delivered-31",
    ...kept.map((kind) => `${kind}-29`),
    ...[...kept.slice(0, 5), "expired", "broadcast", "brief"].map((kind) => `${kind}-0`),
  ]);
  expect(await call(database, alice, "cleanup_messages")).toBe(0);
  expect(await left(other)).toEqual(before);
  await expect(call(database, alice, "cleanup_messages", { as_tenant: other })).rejects.toMatchObject({
    code: "42501",
  });
});

test("how long they stay is a setting of the database, for services; each call removes no more than it is told", async () => {
  const tenant = newTenant();
  await fill(tenant, 3);
  await expect(call(database, agent(tenant, "alice"), "keep_messages", { days: 2 })).rejects.toMatchObject({
    code: "42501",
  });
  for (const days of [0, 36501, null])
    await expect(call(database, service, "keep_messages", { days })).rejects.toMatchObject({ code: "22023" });
  try {
    await call(database, service, "keep_messages", { days: 2 });
    const removed: number[] = [];
    for (let round = 0; round < 4; round++)
      removed.push(await call(database, service, "cleanup_messages", { max_rows: 2, as_tenant: tenant }));
    expect(removed).toEqual([2, 2, 2, 0]);
    expect(await left(tenant)).toEqual(["waiting-3", "delivered-3"]);
  } finally {
    await call(database, service, "keep_messages", { days: 30 });
  }
});

test("a service that names no tenant cleans up in all of them", async () => {
  const tenants = [newTenant(), newTenant()];
  for (const tenant of tenants) await fill(tenant, 31);
  expect(await call(database, service, "cleanup_messages")).toBeGreaterThanOrEqual(12);
  for (const tenant of tenants) expect(await left(tenant)).toEqual(["waiting-31", "delivered-31"]);
});

test("agents' own calls do it as well, a thousand at a time, and not more often than once a minute when there is nothing left", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await database.query(
    `insert into public.agent_messages (tenant_id, id, from_agent, to_agent, type, payload, created_at, handled_at)
     select $1, n::text, 'alice', 'bob', 't', '1', now() - interval '31 days', now() - interval '31 days' from generate_series(1, 1001) n`,
    [tenant],
  );
  expect(await call(database, alice, "sweep")).toMatchObject({ messages: 1000 });
  expect(await call(database, alice, "sweep")).toMatchObject({ messages: 1 });
  expect(await call(database, alice, "sweep")).not.toHaveProperty("messages");
});

test("an expired message is announced, pulled and delivered to nobody", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const past = "2020-01-01T00:00:00Z";
  for (const [id, to_agent] of [
    ["direct", "bob"],
    ["broadcast", null],
  ] as const) {
    const sent = await call(database, alice, "send_message", {
      id,
      to_agent,
      type: "t",
      payload: 1,
      expires_at: past,
    });
    expect(sent).toMatchObject({ expires_at: "2020-01-01T00:00:00+00:00" });
  }
  expect(await announcements(database, tenant)).toEqual([]);
  expect(await callRows(database, bob, "pull_inbox")).toEqual([]);
  expect(await callRows(database, bob, "deliver_messages", { ids: ["direct"] })).toEqual([
    { id: "direct", delivery_attempt: 0, dead: true, expired: true },
  ]);
  const stored = await call(database, alice, "get_message", { id: "direct" });
  expect(stored).toMatchObject({ delivered_at: null, dead_at: null, delivery_attempt: 0 });
});

test("what waits becomes a dead letter after the days that a service says, the oldest first, agent by agent", async () => {
  const [tenant, other] = [newTenant(), newTenant()];
  for (const days of [8, 6]) await fill(tenant, days);
  await fill(other, 8);
  await database.query(
    `insert into public.agent_messages (tenant_id, id, from_agent, to_agent, type, payload, created_at, receipts)
     values ($1, 'carols', 'alice', 'carol', 't', '1', now() - interval '8 days', true)`,
    [tenant],
  );
  const deadOf = async (of: string): Promise<unknown> =>
    (
      await database.query(
        "select id, last_error from public.agent_messages where tenant_id = $1 and dead_at > now() - interval '1 day' order by id",
        [of],
      )
    ).rows;
  const alice = agent(tenant, "alice");
  await call(database, alice, "cleanup_messages");
  expect(await deadOf(tenant)).toEqual([]);
  await expect(call(database, alice, "keep_waiting_messages", { days: 7 })).rejects.toMatchObject({
    code: "42501",
  });
  await expect(call(database, service, "keep_waiting_messages", { days: 0 })).rejects.toMatchObject({
    code: "22023",
  });
  try {
    await call(database, service, "keep_waiting_messages", { days: 7 });
    await call(database, alice, "cleanup_messages");
  } finally {
    await call(database, service, "keep_waiting_messages", { days: null });
  }
  const reason = "waited for 7 days, and no handler came to its end";
  expect(await deadOf(tenant)).toEqual([
    ["carols", reason],
    ["delivered-8", reason],
    ["waiting-8", reason],
  ]);
  expect(await deadOf(other)).toEqual([]);
  expect(await announcements(database, tenant)).toContainEqual(
    expect.objectContaining({ event: "receipt", topic: `federation:${tenant}:agent:alice` }),
  );
});

test("events stay for 30 days, or for the days that a service says, and sweep removes what is over", async () => {
  const [tenant, other] = [newTenant(), newTenant()];
  for (const of of [tenant, other])
    for (const days of [31, 29, 2, 0])
      await database.query(
        `insert into public.agent_events (tenant_id, agent_id, kind, subject, created_at)
         values ($1, 'alice', 'message_stored', $2, now() - make_interval(days => $2::text::int))`,
        [of, String(days)],
      );
  const kept = async (of: string): Promise<unknown> =>
    (
      await database.query("select subject from public.agent_events where tenant_id = $1 order by seq", [of])
    ).rows.flat();
  const alice = agent(tenant, "alice");
  expect(await call(database, alice, "cleanup_events")).toBe(1);
  expect(await kept(tenant)).toEqual(["29", "2", "0"]);
  expect(await kept(other)).toHaveLength(4);
  await expect(call(database, alice, "keep_events", { days: 1 })).rejects.toMatchObject({ code: "42501" });
  await expect(call(database, service, "keep_events", { days: null })).rejects.toMatchObject({
    code: "22023",
  });
  try {
    await call(database, service, "keep_events", { days: 1 });
    expect(await call(database, alice, "sweep")).toMatchObject({ events: 2 });
    expect(await kept(tenant)).toEqual(["0"]);
    expect(await kept(other)).toHaveLength(4);
    await call(database, service, "cleanup_events");
    expect(await kept(other)).toEqual(["0"]);
  } finally {
    await call(database, service, "keep_events", { days: 30 });
  }
});
