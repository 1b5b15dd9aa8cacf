import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  call,
  newTenant,
  openFederationDatabase,
  type Caller,
} from "../../../../test-support/sql-roles.ts";
import { settled } from "./testing/settled.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Place {
  readonly cursor: string | null;
  readonly kept_at: string | null;
}
const placeOf = (who: Caller, cursor: string | null = null): Promise<Place> =>
  call<Place>(database, who, "memory_place", { cursor });

/** The end of what is there, as a cursor. */
async function endFor(who: Caller): Promise<string> {
  await settled(database);
  const begin = await call<{ cursor: string }>(database, who, "pull_memories", { cursor: null });
  return begin.cursor;
}

async function arrive(tenant: string, name: string): Promise<Caller> {
  const who = agent(tenant, name);
  await call(database, who, "feed_place");
  return who;
}

test("an agent's place among the memories is kept, the furthest, for itself alone", async () => {
  const tenant = newTenant();
  const [alice, bob] = [await arrive(tenant, "alice"), await arrive(tenant, "bob")];
  const other = await arrive(newTenant(), "alice");
  expect(await placeOf(alice)).toEqual({ cursor: null, kept_at: null });
  const first = await endFor(alice);
  await call(database, alice, "store_memory", { memory: { id: "m", content: "x" } });
  const second = await endFor(alice);
  expect(second).not.toBe(first);
  expect(await placeOf(alice, second)).toEqual({ cursor: second, kept_at: expect.any(String) });
  expect((await placeOf(alice, first)).cursor).toBe(second);
  expect((await placeOf(alice)).cursor).toBe(second);
  for (const who of [bob, other]) expect((await placeOf(who)).cursor).toBeNull();
  await call(database, alice, "store_memory", { memory: { id: "n", content: "x" } });
  await settled(database);
  const page = await call<{ rows: { id: string }[] }>(database, alice, "pull_memories", { cursor: second });
  expect(page.rows.map(({ id }) => id)).toEqual(["n"]);
});

test("nothing is kept for an agent that was never there, nor a cursor that was not given out here", async () => {
  const alice = agent(newTenant(), "alice");
  expect(await placeOf(alice, await endFor(alice))).toEqual({ cursor: null, kept_at: null });
  for (const wrong of ["now", "", "0123456789abcdef0123456789abcdef:1:0", `${await endFor(alice)}:7`])
    await expect(placeOf(alice, wrong)).rejects.toMatchObject({ code: "22023" });
});

test("a place stays while the agent hears of memories, however long ago somebody spoke to all", async () => {
  const tenant = newTenant();
  const [alice, bob] = [await arrive(tenant, "alice"), await arrive(tenant, "bob")];
  await placeOf(alice, await endFor(alice));
  await database.query(
    "update federation.feed_places set moved_at = now() - interval '31 days' where tenant_id = $1",
    [tenant],
  );
  await call(database, bob, "cleanup_messages");
  expect((await placeOf(alice)).cursor).not.toBeNull();
  await database.query(
    "update federation.feed_places set memory_at = now() - interval '31 days' where tenant_id = $1",
    [tenant],
  );
  await call(database, bob, "cleanup_messages");
  expect((await placeOf(alice)).cursor).toBeNull();
});
