import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
  call,
  newTenant,
  openFederationDatabase,
  service,
  type Caller,
} from "../../../../test-support/sql-roles.ts";
import { settled } from "./testing/settled.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Place {
  readonly cursor: string;
  readonly new: boolean;
}
const placeOf = (who: Caller, cursor: string | null = null): Promise<Place> =>
  call<Place>(database, who, "feed_place", { cursor });

async function say(who: Caller, id: string): Promise<void> {
  await call(database, who, "send_message", { id, to_agent: null, type: "t", payload: 1 });
  await settled(database);
}

/** Reads on from the agent's place and says that it was handled. */
async function readOn(who: Caller): Promise<string[]> {
  const { cursor } = await placeOf(who);
  const page = await call<{ rows: { id: string }[]; cursor: string }>(database, who, "pull_messages", {
    cursor,
  });
  await placeOf(who, page.cursor);
  return page.rows.map(({ id }) => id);
}

async function arrive(tenant: string, name: string): Promise<Caller> {
  const who = agent(tenant, name);
  expect(await placeOf(who)).toMatchObject({ new: true });
  await call(database, who, "open_session", { session_id: `s-${name}` });
  return who;
}

test("an agent goes on where it was, and a new one begins here", async () => {
  const tenant = newTenant();
  const alice = await arrive(tenant, "alice");
  await say(alice, "1");
  const bob = await arrive(tenant, "bob");
  await say(alice, "2");
  expect(await readOn(bob)).toEqual(["2"]);
  await say(alice, "3");
  const place = await placeOf(bob);
  expect(place).toMatchObject({ new: false });
  expect(await readOn(bob)).toEqual(["3"]);
  expect(await readOn(bob)).toEqual([]);
  const further = await placeOf(bob);
  expect(await placeOf(bob, place.cursor)).toEqual(further); // another process of it is behind: nothing is taken back
});

test("who begins to tell from a place is counted until the place moves, each agent for itself", async () => {
  const tenant = newTenant();
  const [alice, bob] = [await arrive(tenant, "alice"), await arrive(tenant, "bob")];
  const start = (who: Caller): Promise<unknown> => call(database, who, "start_feed");
  await say(alice, "1");
  expect([await start(bob), await start(bob), await start(alice)]).toEqual([1, 2, 1]);
  expect(await start(agent(newTenant(), "bob"))).toBe(0);
  const { cursor } = await placeOf(bob);
  await placeOf(bob, cursor); // moves nothing
  expect(await start(bob)).toBe(3);
  await readOn(bob);
  expect([await start(bob), await start(alice)]).toEqual([1, 2]);
});

test.each(["none", "0123456789abcdef0123456789abcdef:1:0"])("the place %s is refused", async (cursor) => {
  await expect(placeOf(agent(newTenant(), "a"), cursor)).rejects.toMatchObject({ code: "22023" });
});

test("the receipts of a broadcast are the places of those who had a session, told once all have it", async () => {
  const tenant = newTenant();
  const alice = await arrive(tenant, "alice");
  const [bob, carol] = [await arrive(tenant, "bob"), await arrive(tenant, "carol")];
  await arrive(newTenant(), "stranger");
  await say(alice, "m");
  const late = await arrive(tenant, "late");
  const receipt = () => call<object>(database, alice, "ask_receipts", { id: "m" });
  expect(await receipt()).toMatchObject({ recipients: 2, handled_by: 0, handled_at: null });
  await readOn(bob);
  await readOn(late);
  expect(await receipt()).toMatchObject({ recipients: 2, handled_by: 1, handled_at: null });
  await call(database, carol, "close_session", { session_id: "s-carol" });
  expect(await receipt()).toMatchObject({ recipients: 2, handled_by: 1, handled_at: null });
  await readOn(carol);
  expect(await call(database, bob, "get_message", { id: "m" })).toMatchObject({
    recipients: 2,
    handled_by: 2,
    handled_at: expect.any(String) as string,
  });
  const told = await announcements(database, tenant);
  expect(told.filter(({ event }) => event === "place_asked").map(({ payload }) => payload)).toMatchObject([
    { within_ms: 4 },
  ]);
  expect(told.filter(({ event }) => event === "receipt")).toMatchObject([
    {
      topic: `federation:${tenant}:agent:alice`,
      payload: { id: "m", handled_at: expect.any(String) as string },
    },
  ]);
  for (const stranger of [bob, agent(newTenant(), "alice")])
    await expect(call(database, stranger, "ask_receipts", { id: "m" })).rejects.toMatchObject({
      code: "P0002",
    });
});

test("a place of another epoch says nothing, and is replaced", async () => {
  const tenant = newTenant();
  const alice = await arrive(tenant, "alice");
  const bob = await arrive(tenant, "bob");
  await say(alice, "1");
  await readOn(bob);
  await call(database, service, "new_epoch");
  expect(await call(database, alice, "get_message", { id: "1" })).toMatchObject({
    recipients: 1,
    handled_by: 0,
  });
  const { cursor } = await placeOf(bob);
  const reset = await call<{ cursor: string; reset: boolean }>(database, bob, "pull_messages", { cursor });
  expect(reset.reset).toBe(true);
  const page = await call<{ cursor: string }>(database, bob, "pull_messages", { cursor: reset.cursor });
  await placeOf(bob, page.cursor);
  expect(await call(database, alice, "get_message", { id: "1" })).toMatchObject({
    recipients: 1,
    handled_by: 1,
  });
});

test("places go with their agent, with their tenant, and when they are old and nobody is there", async () => {
  const [tenant, other] = [newTenant(), newTenant()];
  for (const name of ["alice", "bob", "carol"]) await arrive(tenant, name);
  await arrive(other, "alice");
  const left = async (): Promise<(string | null)[]> => {
    const { rows } = await database.query(
      "select agent_id from federation.feed_places where tenant_id in ($1, $2) order by 1",
      [tenant, other],
    );
    return rows.map(([name]) => name ?? null);
  };
  await call(database, agent(tenant, "carol"), "close_session", { session_id: "s-carol" });
  await database.query(
    "update federation.feed_places set moved_at = now() - interval '31 days' where tenant_id = $1",
    [tenant],
  );
  await call(database, agent(tenant, "alice"), "cleanup_messages");
  expect(await left()).toEqual(["alice", "alice", "bob"]);
  await call(database, service, "delete_agent", { agent: "bob", tenant });
  expect(await left()).toEqual(["alice", "alice"]);
  await call(database, service, "delete_tenant", { tenant });
  expect(await left()).toEqual(["alice"]);
});
