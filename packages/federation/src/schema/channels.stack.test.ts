import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  anon,
  announcements,
  call,
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

/** What Realtime asks: rows of the topic put there by somebody mightier, read back as the role. */
async function reads(caller: Caller, topic: string): Promise<string[]> {
  await database.query(
    "insert into realtime.messages (topic, extension) select $1, unnest(array['broadcast', 'presence'])",
    [topic],
  );
  const { rows } = await sql(
    database,
    caller,
    "select distinct extension from realtime.messages where topic = $1 order by 1",
    [topic],
  );
  return rows.map(([extension]) => extension ?? "");
}

/** And whether an insert of the topic as the role is let through. */
async function writes(caller: Caller, topic: string): Promise<string[]> {
  const allowed: string[] = [];
  for (const extension of ["broadcast", "presence"]) {
    try {
      await sql(database, caller, "insert into realtime.messages (topic, extension) values ($1, $2)", [
        topic,
        extension,
      ]);
      allowed.push(extension);
    } catch (error) {
      expect(error).toMatchObject({ code: "42501" });
    }
  }
  return allowed;
}

const both = ["broadcast", "presence"];

test("the room is read and written by the members of the tenant and by nobody else", async () => {
  const tenant = newTenant();
  const room = `federation:${tenant}`;
  expect(await reads(agent(tenant, "alice"), room)).toEqual(both);
  expect(await writes(agent(tenant, "alice"), room)).toEqual(both);
  for (const stranger of [agent(newTenant(), "alice"), agent(tenant.slice(0, -1), "alice"), anon]) {
    expect(await reads(stranger, room)).toEqual([]);
    expect(await writes(stranger, room)).toEqual([]);
  }
});

test("the feed is read by the members and written by no client", async () => {
  const tenant = newTenant();
  const feed = `federation:${tenant}:feed`;
  expect(await reads(agent(tenant, "alice"), feed)).toEqual(["broadcast"]);
  expect(await reads(agent(newTenant(), "alice"), feed)).toEqual([]);
  for (const client of [agent(tenant, "alice"), agent(newTenant(), "alice"), anon]) {
    expect(await writes(client, feed)).toEqual([]);
  }
});

test("an inbox is read by its own agent only and written by no client, not even by its own agent", async () => {
  const tenant = newTenant();
  const inbox = `federation:${tenant}:agent:alice`;
  expect(await reads(agent(tenant, "alice"), inbox)).toEqual(["broadcast"]);
  for (const other of [agent(tenant, "bob"), agent(newTenant(), "alice"), anon]) {
    expect(await reads(other, inbox)).toEqual([]);
  }
  for (const client of [agent(tenant, "alice"), agent(tenant, "bob"), agent(newTenant(), "alice"), anon]) {
    expect(await writes(client, inbox)).toEqual([]);
  }
});

test("a tenant or agent id cannot be made to look like another channel", async () => {
  const tenant = newTenant();
  const tricky: Caller[] = [
    agent(`${tenant}:feed`, "alice"),
    agent(`${tenant}:agent:alice`, "alice"),
    agent(tenant, "bob:feed"),
    agent(tenant, "a:b"),
    { kind: "claims", claims: { role: "authenticated", app_metadata: { tenant_id: tenant } } },
    { kind: "claims", claims: { role: "authenticated", app_metadata: { tenant_id: null } } },
    { kind: "claims", claims: { role: "authenticated", app_metadata: { tenant_id: [tenant] } } },
    { kind: "claims", claims: { role: "authenticated", user_metadata: { tenant_id: tenant } } },
  ];
  for (const caller of tricky) {
    for (const topic of [
      `federation:${tenant}:feed`,
      `federation:${tenant}:agent:alice`,
      `federation:${tenant}`,
    ]) {
      expect(await reads(caller, topic)).toEqual([]);
      expect(await writes(caller, topic)).toEqual([]);
    }
  }
  expect(await reads(tricky[2] ?? anon, `federation:${tenant}:agent:bob:feed`)).toEqual([]);
});

test("a project's own wide policies do not open our topics, and ours do not close the project's", async () => {
  const tenant = newTenant();
  await database.exec(`
    create policy "tutorial read" on realtime.messages for select to authenticated, anon using (true);
    create policy "tutorial write" on realtime.messages for insert to authenticated, anon with check (true);
    create policy "tutorial change" on realtime.messages for update to authenticated using (true);`);
  try {
    expect(await reads(agent(tenant, "bob"), `federation:${tenant}:agent:alice`)).toEqual([]);
    expect(await writes(agent(tenant, "bob"), `federation:${tenant}:agent:alice`)).toEqual([]);
    expect(await writes(agent(tenant, "bob"), `federation:${tenant}:feed`)).toEqual([]);
    expect(await reads(agent(newTenant(), "bob"), `federation:${tenant}`)).toEqual([]);
    expect(await reads(anon, `federation:${tenant}`)).toEqual([]);
    expect(await writes(anon, `federation:${tenant}`)).toEqual([]);
    const forged = await sql(
      database,
      agent(tenant, "bob"),
      "update realtime.messages set payload = '{}' where topic like 'federation:%'",
    );
    expect(forged.affectedRows).toBe(0);
    expect(await reads(agent(tenant, "bob"), "chat:lobby")).toEqual(both);
    expect(await writes(anon, "chat:lobby")).toEqual(both);
  } finally {
    await database.exec(`
      drop policy "tutorial read" on realtime.messages;
      drop policy "tutorial write" on realtime.messages;
      drop policy "tutorial change" on realtime.messages;`);
  }
});

test("nobody but the definer role reaches the door to realtime.send", async () => {
  for (const caller of [agent(newTenant(), "alice"), anon, service]) {
    await expect(
      sql(database, caller, "select federation.announce('federation:t:feed', 'message', '{}')"),
    ).rejects.toMatchObject({ code: "42501" });
    await expect(
      sql(database, caller, "select federation.forget_broadcasts('t', null, '{}')"),
    ).rejects.toMatchObject({ code: "42501" });
  }
  // With the project's own rights a member may call realtime.send, and the policies stop what it says.
  const tenant = newTenant();
  await sql(
    database,
    agent(tenant, "mallory"),
    "select realtime.send('{\"forged\": true}', 'message', $1, true)",
    [`federation:${tenant}:agent:alice`],
  );
  const { rows } = await database.query("select from realtime.messages where topic = $1", [
    `federation:${tenant}:agent:alice`,
  ]);
  expect(rows).toEqual([]);
});

test("what a statement stores for several is announced to each in its own inbox, in order, in few frames that a NOTIFY holds", async () => {
  const [tenant, elsewhere] = [newTenant(), newTenant()];
  await sql(
    database,
    service,
    `insert into public.agent_messages (tenant_id, id, from_agent, to_agent, type, payload)
     select t, 'm' || n, 'alice', case when n % 2 = 0 then 'bob' end, 't',
       jsonb_build_object('text', case n when 6 then repeat('x', 200001) else repeat('y', 400) end)
     from unnest(array[$1, $2]) t, generate_series(1, 40) n order by n`,
    [tenant, elsewhere],
  );
  for (const each of [tenant, elsewhere]) {
    const told = (await announcements(database, each)).filter(({ event }) => event === "message");
    for (const [topic, first] of [
      [`federation:${each}:agent:bob`, 2],
      [`federation:${each}:feed`, 1],
    ] as const) {
      const frames = told.filter((frame) => frame.topic === topic).map(({ payload }) => payload);
      const rows = frames.flatMap(({ messages, message, ...large }) => messages ?? message ?? large) as {
        readonly id: string;
        readonly tenant_id?: string;
      }[];
      expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, n) => `m${first + 2 * n}`));
      expect(rows.every(({ id, tenant_id }) => tenant_id === (id === "m6" ? undefined : each))).toBe(true);
      expect(frames.length).toBeLessThan(6);
      for (const frame of frames) expect(JSON.stringify(frame).length).toBeLessThan(7_000);
    }
  }
});

test("a memory that an agent keeps to itself is announced in its own inbox only", async () => {
  const tenant = newTenant();
  await call(database, agent(tenant, "alice"), "store_memory", {
    memory: { id: "k", content: "mine", scope: "agent" },
  });
  const { rows } = await database.query("select topic from realtime.messages where topic like $1", [
    `federation:${tenant}%`,
  ]);
  expect(rows).toEqual([[`federation:${tenant}:agent:alice`]]);
});
