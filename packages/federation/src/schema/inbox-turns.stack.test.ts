import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
  call,
  newTenant,
  openFederationDatabase,
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

async function open(tenant: string, ...sessionIds: readonly string[]): Promise<void> {
  for (const session_id of sessionIds)
    await call(database, agent(tenant, "twin"), "open_session", { session_id, instance_id: session_id });
}

function take(tenant: string, session_id: string, asked = false): Promise<unknown> {
  return call(database, agent(tenant, "twin"), "take_inbox", { session_id, asked });
}

async function asked(tenant: string): Promise<unknown[]> {
  const all = await announcements(database, tenant);
  return all.filter(({ event }) => event === "inbox_asked").map(({ payload }) => payload["session_id"]);
}

async function aSecondLater(tenant: string): Promise<void> {
  await database.query(
    "update federation.inbox_turns set asked_at = asked_at - interval '1.1 seconds' where tenant_id = $1",
    [tenant],
  );
}

test("the first to ask has the turn, and keeps it when it answers", async () => {
  const tenant = newTenant();
  await open(tenant, "a", "b");
  expect(await take(tenant, "a")).toEqual({ first: true, ask_again_ms: null });
  const answer = await take(tenant, "b");
  expect(answer).toMatchObject({ first: false, ask_again_ms: expect.any(Number) as number });
  expect(await asked(tenant)).toEqual(["a"]);
  expect(await take(tenant, "a")).toMatchObject({ first: true }); // its answer
  expect(await take(tenant, "b", true)).toEqual({ first: false, ask_again_ms: null });
  expect(await asked(tenant)).toEqual(["a"]);
});

test("whoever does not answer for a second loses the turn, and does not get it back by coming back", async () => {
  const tenant = newTenant();
  await open(tenant, "a", "b");
  await take(tenant, "a");
  await take(tenant, "b");
  expect(await take(tenant, "b", true)).toMatchObject({ first: false }); // too early
  await aSecondLater(tenant);
  expect(await take(tenant, "b", true)).toMatchObject({ first: true });
  expect(await take(tenant, "a")).toMatchObject({ first: false });
});

test("an ended or silent session has no turn; the next one need not ask it", async () => {
  const tenant = newTenant();
  await open(tenant, "a", "b", "c");
  await take(tenant, "a");
  await call(database, agent(tenant, "twin"), "close_session", { session_id: "a" });
  await expect(take(tenant, "a")).rejects.toMatchObject({ code: "P0002" });
  expect(await take(tenant, "b")).toMatchObject({ first: true });
  await database.query(
    "update public.agent_sessions set last_seen_at = now() - interval '91 seconds' where tenant_id = $1 and session_id = 'b'",
    [tenant],
  );
  expect(await take(tenant, "c")).toMatchObject({ first: true });
  expect(await asked(tenant)).toEqual([]);
});

test("another agent, or the same name in another tenant, takes nothing and asks nobody", async () => {
  const [tenant, other] = [newTenant(), newTenant()];
  await open(tenant, "a");
  await open(other, "b");
  await take(tenant, "a");
  await expect(take(other, "a")).rejects.toMatchObject({ code: "P0002" });
  await expect(
    call(database, agent(tenant, "stranger"), "take_inbox", { session_id: "a" }),
  ).rejects.toMatchObject({ code: "P0002" });
  expect(await take(other, "b")).toMatchObject({ first: true });
  expect(await take(tenant, "a")).toMatchObject({ first: true });
  expect(await asked(tenant)).toEqual([]);
});
