import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

async function send(tenant: string, id = "m"): Promise<void> {
  await call(database, agent(tenant, "alice"), "send_message", {
    id,
    to_agent: "bob",
    type: "t",
    payload: 1,
  });
}
const deliver = (tenant: string, who = "bob", max_deliveries = 2): Promise<unknown[]> =>
  callRows(database, agent(tenant, who), "deliver_messages", { ids: ["m"], max_deliveries });

test("deliveries are counted, and one too many is a dead letter with its last error, until it is requeued", async () => {
  const tenant = newTenant();
  const bob = agent(tenant, "bob");
  await send(tenant);
  expect(await deliver(tenant)).toEqual([{ id: "m", delivery_attempt: 1, dead: false }]);
  expect(await call(database, bob, "fail_message", { id: "m", error: "no" })).toBe(true);
  expect(await deliver(tenant)).toEqual([{ id: "m", delivery_attempt: 2, dead: false }]);
  expect(await deliver(tenant)).toEqual([{ id: "m", delivery_attempt: 2, dead: true }]);
  expect(await deliver(tenant)).toEqual([]);
  expect(await callRows(database, bob, "pull_inbox")).toEqual([]);
  const dead = await callRows(database, bob, "list_messages", { filter: { box: "inbox", state: "dead" } });
  expect(dead).toMatchObject([{ id: "m", last_error: "no", delivery_attempt: 2 }]);
  expect(await call(database, bob, "requeue_message", { id: "m" })).toBe(true);
  expect(await deliver(tenant)).toEqual([{ id: "m", delivery_attempt: 1, dead: false }]);
});

test("a delivery that did not take place is taken back, by the recipient alone, as long as the message waits", async () => {
  const tenant = newTenant();
  const undo = (who = "bob", where = tenant): Promise<unknown> =>
    call(database, agent(where, who), "undo_deliveries", { ids: ["m"] });
  await send(tenant);
  expect(await undo()).toBe(0);
  await deliver(tenant);
  for (const who of ["alice", "carol"]) expect(await undo(who)).toBe(0);
  expect(await undo("bob", newTenant())).toBe(0);
  expect(await undo()).toBe(1);
  expect(await deliver(tenant)).toEqual([{ id: "m", delivery_attempt: 1, dead: false }]);
  await deliver(tenant);
  expect(await deliver(tenant)).toEqual([{ id: "m", delivery_attempt: 2, dead: true }]);
  expect(await undo()).toBe(0);
});

test("the sender is told of each step once it asked, in its own inbox, and nobody else may ask", async () => {
  const tenant = newTenant();
  await send(tenant);
  for (const stranger of [agent(tenant, "carol"), agent(tenant, "bob"), agent(newTenant(), "alice")])
    await expect(call(database, stranger, "ask_receipts", { id: "m" })).rejects.toMatchObject({
      code: "P0002",
    });
  await call(database, agent(tenant, "alice"), "ask_receipts", { id: "m" });
  await deliver(tenant);
  await call(database, agent(tenant, "bob"), "mark_messages", { ids: ["m"], state: "handled" });
  const told = (await announcements(database, tenant)).filter(({ event }) => event === "receipt");
  expect(told.map(({ topic }) => topic)).toEqual(Array(2).fill(`federation:${tenant}:agent:alice`));
  expect(told.map(({ payload }) => typeof payload["handled_at"])).toEqual(["object", "string"]);
});

test("only the recipient delivers, fails and requeues, and only the two see it", async () => {
  const tenant = newTenant();
  await send(tenant);
  for (const who of ["alice", "carol"]) {
    expect(await deliver(tenant, who)).toEqual([]);
    const failed = call(database, agent(tenant, who), "fail_message", { id: "m", error: "x", dead: "true" });
    expect(await failed).toBe(false);
    expect(await call(database, agent(tenant, who), "requeue_message", { id: "m" })).toBe(false);
  }
  expect(await call(database, agent(tenant, "carol"), "get_message", { id: "m" })).toBeNull();
  expect(await call(database, agent(tenant, "alice"), "get_message", { id: "m" })).toMatchObject({
    delivery_attempt: 0,
    dead_at: null,
  });
});
