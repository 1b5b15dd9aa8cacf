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

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

const fail = (who: Caller, attempts = 3): Promise<unknown> =>
  call(database, who, "fail_broadcast", { id: "b", error: "boom", attempts });
const requeue = (who: Caller): Promise<unknown> => call(database, who, "requeue_message", { id: "b" });

const inbox = async (who: Caller): Promise<unknown[]> =>
  (await callRows<{ id: string }>(database, who, "pull_inbox")).map(({ id }) => id);

const failures = async (tenant: string): Promise<unknown> =>
  (
    await database.query(
      "select f.agent_id, f.delivery_attempt from public.agent_message_failures f where tenant_id = $1 order by 1",
      [tenant],
    )
  ).rows;

async function said(expires_at: string | null = null) {
  const tenant = newTenant();
  const [alice, bob, carol] = ["alice", "bob", "carol"].map((name) => agent(tenant, name)) as [
    Caller,
    Caller,
    Caller,
  ];
  await call(database, alice, "send_message", { id: "b", to_agent: null, type: "t", payload: 1, expires_at });
  return { tenant, alice, bob, carol };
}

test("a message to everybody that an agent gave up is a dead letter of that agent, which alone can take it out", async () => {
  const { tenant, alice, bob, carol } = await said();
  expect(await fail(bob)).toBe(true);
  expect([await inbox(bob), await inbox(carol)]).toEqual([[], []]);
  const dead = { filter: { state: "dead" } };
  const letter = {
    id: "b",
    delivery_attempt: 3,
    last_error: "boom",
    dead_at: expect.any(String) as string,
  };
  expect(await callRows(database, bob, "list_messages", dead)).toMatchObject([letter]);
  expect(await call(database, bob, "get_message", { id: "b" })).toMatchObject(letter);
  expect(await callRows(database, bob, "list_messages", { filter: { box: "inbox" } })).toHaveLength(1);
  expect(await callRows(database, bob, "list_messages", { filter: { state: "delivered" } })).toEqual([]);
  for (const other of [alice, carol]) {
    expect(await callRows(database, other, "list_messages", dead)).toEqual([]);
    expect(await requeue(other)).toBe(false);
  }
  expect(await requeue(bob)).toBe(true);
  expect(await requeue(bob)).toBe(false);
  expect([await inbox(bob), await inbox(carol)]).toEqual([["b"], []]);
  expect(await announcements(database, `${tenant}:agent:bob`)).toMatchObject([
    { event: "message", payload: { id: "b" } },
  ]);
});

test("taken out of the dead letters it is counted, failed, given up and handled like a message to the agent", async () => {
  const { tenant, bob, carol } = await said();
  await fail(bob);
  const count = (who: Caller, max_deliveries = 5): Promise<unknown> =>
    callRows(database, who, "deliver_messages", { ids: ["b"], max_deliveries });
  expect(await count(bob)).toEqual([]);
  await requeue(bob);
  expect(await count(carol)).toEqual([]);
  expect(await count(bob)).toEqual([{ id: "b", delivery_attempt: 1, dead: false }]);
  const failed = { id: "b", error: "again" };
  expect(await call(database, carol, "fail_message", failed)).toBe(false);
  expect(await call(database, bob, "fail_message", failed)).toBe(true);
  expect(await call(database, bob, "get_message", { id: "b" })).toMatchObject({
    last_error: "again",
    dead_at: null,
  });
  expect(await count(bob, 1)).toEqual([{ id: "b", delivery_attempt: 1, dead: true }]);
  await requeue(bob);
  expect(await call(database, bob, "fail_message", { ...failed, dead: true })).toBe(true);
  expect(await inbox(bob)).toEqual([]);
  await requeue(bob);
  const handled = { ids: ["b"], state: "handled" };
  expect(await call(database, carol, "mark_messages", handled)).toBe(0);
  expect(await call(database, bob, "mark_messages", handled)).toBe(1);
  expect([await inbox(bob), await failures(tenant)]).toEqual([[], []]);
});

test("nobody fails on what it said itself, or what is not there, and an expired one is given up", async () => {
  const { alice, bob, tenant } = await said();
  expect(await fail(alice)).toBe(false);
  expect(await call(database, bob, "fail_broadcast", { id: "none", error: "boom" })).toBe(false);
  await call(database, alice, "send_message", { id: "direct", to_agent: "bob", type: "t", payload: 1 });
  expect(await call(database, bob, "fail_broadcast", { id: "direct", error: "boom" })).toBe(false);
  await expect(fail(bob, 0)).rejects.toMatchObject({ code: "22023" });
  expect(await failures(tenant)).toEqual([]);
  await fail(bob);
  await requeue(bob);
  await database.query("update public.agent_messages set expires_at = now() where tenant_id = $1", [tenant]);
  expect(await inbox(bob)).toEqual([]);
  expect(await callRows(database, bob, "deliver_messages", { ids: ["b"] })).toEqual([
    { id: "b", delivery_attempt: 0, dead: true, expired: true },
  ]);
});

test("failures end with their message, and with their agent", async () => {
  const { tenant, bob, carol } = await said();
  for (const who of [bob, carol]) await fail(who);
  await call(database, service, "delete_agent", { agent: "bob", tenant });
  expect(await failures(tenant)).toEqual([["carol", "3"]]);
  await database.query("delete from public.agent_messages where tenant_id = $1", [tenant]);
  expect(await failures(tenant)).toEqual([]);
});

test("an agent reads its own failures and nobody else's, and no other tenant can make or end one", async () => {
  const { tenant, alice, bob, carol } = await said();
  await fail(bob);
  const seen = async (who: Caller): Promise<unknown> =>
    (await sql(database, who, "select agent_id from public.agent_message_failures")).rows;
  expect(await seen(bob)).toEqual([["bob"]]);
  const stranger = agent(newTenant(), "bob");
  for (const other of [alice, carol, stranger]) expect(await seen(other)).toEqual([]);
  expect(await fail(stranger)).toBe(false);
  expect(await call(database, stranger, "requeue_message", { id: "b" })).toBe(false);
  expect(await call(database, stranger, "mark_messages", { ids: ["b"], state: "handled" })).toBe(0);
  expect(await failures(tenant)).toEqual([["bob", "3"]]);
});
