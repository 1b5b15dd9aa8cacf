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

const note = { type: "note", payload: { text: "hello" } };

test("a direct message is stored, announced in the recipient's inbox and pulled until it is handled", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const sent = await call(database, alice, "send_message", {
    id: "m1",
    to_agent: "bob",
    ...note,
    reply_to: "m0",
    correlation_id: "c",
    hop_count: 2,
    sender_seq: 7,
    instance_id: "i",
    traceparent: "00-1",
  });
  expect(sent).toEqual({
    id: "m1",
    tenant_id: tenant,
    from_agent: "alice",
    to_agent: "bob",
    ...note,
    timestamp: expect.any(String) as string,
    reply_to: "m0",
    correlation_id: "c",
    hop_count: 2,
    sender_seq: 7,
    traceparent: "00-1",
    delivery_attempt: 0,
    seq: expect.any(Number) as number,
  });
  const [told] = await announcements(database, tenant);
  expect(told).toMatchObject({
    topic: `federation:${tenant}:agent:bob`,
    event: "message",
    payload: { message: sent },
  });

  expect(await callRows(database, bob, "pull_inbox")).toEqual([sent]);
  expect(await callRows(database, alice, "pull_inbox")).toEqual([]);
  expect(await call(database, bob, "mark_messages", { ids: ["m1", "unknown"], state: "delivered" })).toBe(1);
  expect(await call(database, bob, "mark_messages", { ids: ["m1"], state: "delivered" })).toBe(0);
  expect(await callRows(database, bob, "pull_inbox")).toEqual([sent]);
  expect(await call(database, bob, "mark_messages", { ids: ["m1"], state: "handled" })).toBe(1);
  expect(await call(database, bob, "mark_messages", { ids: ["m1"], state: "handled" })).toBe(0);
  expect(await callRows(database, bob, "pull_inbox")).toEqual([]);
  const facts = await sql(
    database,
    alice,
    "select delivered_at is not null, handled_at >= delivered_at from public.agent_messages where id = 'm1'",
  );
  expect(facts.rows).toEqual([["t", "t"]]);
});

test("a message to nobody in particular is for everybody, on the feed, and in no inbox", async () => {
  const tenant = newTenant();
  const sent = await call(database, agent(tenant, "alice"), "send_message", {
    id: "m1",
    to_agent: null,
    ...note,
  });
  expect(sent).not.toHaveProperty("to_agent");
  expect(await announcements(database, tenant)).toMatchObject([
    { topic: `federation:${tenant}:feed`, event: "message", payload: { message: sent } },
  ]);
  expect(await callRows(database, agent(tenant, "bob"), "pull_inbox")).toEqual([]);
  const seen = await sql(database, agent(tenant, "bob"), "select id from public.agent_messages");
  expect(seen.rows).toEqual([["m1"]]);
});

test("a third agent of the tenant cannot read a direct message, neither from the table nor by any function", async () => {
  const tenant = newTenant();
  await call(database, agent(tenant, "alice"), "send_message", { id: "m1", to_agent: "bob", ...note });
  const carol = agent(tenant, "carol");
  expect((await sql(database, carol, "select * from public.agent_messages")).rows).toEqual([]);
  expect(await callRows(database, carol, "pull_inbox")).toEqual([]);
  expect(await call(database, carol, "federation_stats")).toMatchObject({ total_messages: 0 });
  expect(await call(database, carol, "mark_messages", { ids: ["m1"], state: "handled" })).toBe(0);
  await expect(
    call(database, carol, "send_message", { id: "m1", to_agent: "bob", ...note }),
  ).rejects.toMatchObject({ code: "23505" });
  await expect(callRows(database, carol, "pull_inbox", { as_agent: "bob" })).rejects.toMatchObject({
    code: "42501",
  });
  for (const reader of [agent(tenant, "alice"), agent(tenant, "bob"), service]) {
    const { rows } = await sql(
      database,
      reader,
      "select id from public.agent_messages where tenant_id = $1",
      [tenant],
    );
    expect(rows).toEqual([["m1"]]);
  }
});

test("the sender is who the token says, whatever the payload says", async () => {
  const tenant = newTenant();
  const sent = await call(database, agent(tenant, "mallory"), "send_message", {
    id: "m1",
    to_agent: "bob",
    type: "t",
    payload: { from_agent: "alice", tenant_id: "other" },
  });
  expect(sent).toMatchObject({ from_agent: "mallory", tenant_id: tenant });
});

test("nobody hands out or ends another's work by a message", async () => {
  const tenant = newTenant();
  const mallory = agent(tenant, "mallory");
  const send = (message: object) => call(database, mallory, "send_message", { id: "m", ...message });
  for (const forged of [
    { type: "task_assignment", to_agent: "bob", payload: { task_id: "t", assigned_by: "alice" } },
    { type: "task_assignment", to_agent: null, payload: null },
    { type: "task_complete", to_agent: "bob", payload: { task_id: "t", completed_by: "mallory" } },
    { type: "task_complete", to_agent: "bob", payload: null },
    { type: "task_complete", to_agent: null, payload: { task_id: "t", completed_by: "alice" } },
    { type: "task_complete", to_agent: null, payload: { completed_by: ["mallory"] } },
  ]) {
    await expect(send(forged)).rejects.toMatchObject({ code: "42501" });
  }
  expect(await announcements(database, tenant)).toEqual([]);
  for (const [id, payload] of Object.entries({
    own: { task_id: "t", completed_by: "mallory" },
    plain: { report: "done" },
    list: [1],
    nothing: null,
  })) {
    const sent = await send({ id, type: "task_complete", to_agent: null, payload });
    expect(sent).toMatchObject({ type: "task_complete", payload });
  }
});

test("the same message again is one message; the same id for another message is refused", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const message = { id: "m1", to_agent: "bob", ...note };
  const first = await call(database, alice, "send_message", message);
  expect(await call(database, alice, "send_message", message)).toEqual(first);
  for (const other of [
    { payload: { text: "other" } },
    { type: "other" },
    { to_agent: "carol" },
    { to_agent: null },
  ]) {
    await expect(call(database, alice, "send_message", { ...message, ...other })).rejects.toMatchObject({
      code: "23505",
      message: "message 'm1' exists already, with other content",
    });
  }
  expect(await announcements(database, tenant)).toHaveLength(1);
  expect(await callRows(database, alice, "list_events")).toHaveLength(1);
  // In another tenant the id is free.
  await call(database, agent(newTenant(), "alice"), "send_message", { ...message, to_agent: "carol" });
});

test("a send that is rolled back was never said", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await expect(
    as(database, alice, async (session) => {
      await rpc(session, "send_message", { id: "m1", to_agent: "bob", ...note });
      throw new Error("changed my mind");
    }),
  ).rejects.toThrow("changed my mind");
  expect(await announcements(database, tenant)).toEqual([]);
  expect(await callRows(database, agent(tenant, "bob"), "pull_inbox")).toEqual([]);
});

test("the inbox is oldest first whatever was marked, in pages, without what has expired or died", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  for (const id of ["1", "2", "3", "4", "5"]) {
    await call(database, alice, "send_message", { id, to_agent: "bob", ...note });
  }
  await call(database, alice, "send_message", {
    id: "late",
    to_agent: "bob",
    ...note,
    expires_at: "2020-01-01T00:00:00Z",
  });
  await sql(
    database,
    service,
    "update public.agent_messages set dead_at = now() where tenant_id = $1 and id = '2'",
    [tenant],
  );
  await call(database, bob, "mark_messages", { ids: ["1", "3"], state: "delivered" });
  const page = async (args: Record<string, number>) =>
    await callRows<{ id: string; seq: number }>(database, bob, "pull_inbox", args);
  expect((await page({})).map(({ id }) => id)).toEqual(["1", "3", "4", "5"]);
  const first = await page({ max_messages: 2 });
  expect(first.map(({ id }) => id)).toEqual(["1", "3"]);
  const second = await page({ max_messages: 2, after_seq: first.at(-1)?.seq ?? 0 });
  expect(second.map(({ id }) => id)).toEqual(["4", "5"]);
  await expect(page({ max_messages: -1 })).rejects.toMatchObject({ code: "22023" });
});

test("payloads are any JSON and come back unaltered; a large one is announced by its id", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  for (const [id, payload] of Object.entries({
    number: "12345678901234567890.5",
    text: '"{\\"looks\\": \\"like json\\"}"',
    nothing: "null",
    list: "[1, 2]",
  })) {
    const { rows } = await sql(
      database,
      alice,
      "select public.send_message($1, 'bob', 't', $2::jsonb) ->> 'payload'",
      [id, payload],
    );
    const { rows: expected } = await database.query("select jsonb_build_object('p', $1::jsonb) ->> 'p'", [
      payload,
    ]);
    expect(rows).toEqual(expected);
  }
  await call(database, alice, "send_message", {
    id: "large",
    to_agent: "bob",
    type: "t",
    payload: { text: "x".repeat(200_001) },
  });
  expect((await announcements(database, tenant)).at(-1)?.payload).toEqual({ id: "large" });
  await expect(
    call(database, alice, "send_message", {
      id: "huge",
      to_agent: "bob",
      type: "t",
      payload: { text: "x".repeat(1_048_577) },
    }),
  ).rejects.toMatchObject({
    code: "22023",
    message: "payload: expected at most 1048576 bytes as JSON text, got 1048589",
  });
});

test.each([
  [{ id: "" }, "id: expected 1 to 255 bytes, got 0"],
  [{ id: "é".repeat(128) }, "id: expected 1 to 255 bytes, got 256"],
  [{ to_agent: "" }, "to_agent: expected 1 to 128 characters of A-Z a-z 0-9 . _ @ -, got ''"],
  [{ to_agent: "a:b" }, "to_agent: expected 1 to 128 characters of A-Z a-z 0-9 . _ @ -, got 'a:b'"],
  [{ type: "" }, "type: expected 1 to 255 bytes, got 0"],
  [{ hop_count: -1 }, "hop_count: expected 0 or more, got -1"],
])("send_message refuses %j", async (wrong, message) => {
  await expect(
    call(database, agent("t", "a"), "send_message", { id: "m", to_agent: "bob", ...note, ...wrong }),
  ).rejects.toMatchObject({ code: "22023", message });
});

test("an answer is one hop further than what it answers, whatever its sender counts, and a chain has an end", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const send = (who: typeof alice, to_agent: string, id: number, hop_count = 0) =>
    call(database, who, "send_message", {
      id: `m${id}`,
      to_agent,
      ...note,
      reply_to: `m${id - 1}`,
      hop_count,
    });
  expect(await send(alice, "bob", 0)).toMatchObject({ hop_count: 0, correlation_id: null });
  expect(await send(bob, "alice", 1)).toMatchObject({ hop_count: 1, correlation_id: "m0" });
  expect(await send(alice, "bob", 2, 31)).toMatchObject({ hop_count: 31, correlation_id: "m0" });
  expect(await send(bob, "alice", 3)).toMatchObject({ hop_count: 32 });
  const refused = {
    code: "53400",
    message: "hop_count: 33 messages led to this one, the limit is 32",
    hint: expect.stringContaining("limit_hops") as string,
  };
  await expect(send(alice, "bob", 4)).rejects.toMatchObject(refused);
  await expect(send(alice, "bob", 9, 33)).rejects.toMatchObject(refused);
  // What its sender cannot have read leads to nothing.
  for (const stranger of [agent(tenant, "carol"), agent(newTenant(), "alice")])
    expect(
      await call(database, stranger, "send_message", { id: "c", to_agent: "bob", ...note, reply_to: "m3" }),
    ).toMatchObject({ hop_count: 0, correlation_id: null });
});

test("how long a chain may be is a setting of the database, for services", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const send = (hop_count: number) =>
    call(database, alice, "send_message", { id: `m${hop_count}`, to_agent: "bob", ...note, hop_count });
  await expect(call(database, alice, "limit_hops", { hops: 3 })).rejects.toMatchObject({ code: "42501" });
  for (const hops of [0, null, 1_000_001])
    await expect(call(database, service, "limit_hops", { hops })).rejects.toMatchObject({ code: "22023" });
  try {
    await call(database, service, "limit_hops", { hops: 3 });
    await send(3);
    await expect(send(4)).rejects.toMatchObject({ code: "53400" });
  } finally {
    await call(database, service, "limit_hops", { hops: 32 });
  }
});

test("how many an agent may store in a minute is a setting, whoever sends in its name; repetitions and tasks do not count", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const send = (who: typeof alice, id: number) =>
    call(database, who, "send_message", { id: `m${id}`, to_agent: "bob", ...note });
  await expect(call(database, alice, "limit_messages", { per_minute: 3 })).rejects.toMatchObject({
    code: "42501",
  });
  for (const per_minute of [0, null])
    await expect(call(database, service, "limit_messages", { per_minute })).rejects.toMatchObject({
      code: "22023",
    });
  try {
    await call(database, service, "limit_messages", { per_minute: 3 });
    for (const id of [1, 2, 3]) await send(alice, id);
    const refused = {
      code: "53400",
      message: "messages: alice has stored 3 within a minute, which is the limit",
      hint: expect.stringContaining("limit_messages") as string,
    };
    await expect(send(alice, 4)).rejects.toMatchObject(refused);
    await send(alice, 3); // once more
    for (const task_id of ["t1", "t2"])
      await call(database, alice, "assign_task", { task: { task_id, assigned_to: "bob", description: "d" } });
    await expect(
      call(database, service, "send_message", {
        id: "m5",
        to_agent: "bob",
        ...note,
        as_agent: "alice",
        as_tenant: tenant,
      }),
    ).rejects.toMatchObject(refused);
    for (const other of [agent(tenant, "carol"), agent(newTenant(), "alice")]) await send(other, 9);
    await database.query(
      "update public.agent_messages set created_at = now() - interval '61 seconds' where tenant_id = $1 and id = 'm1'",
      [tenant],
    );
    await send(alice, 4);
  } finally {
    await call(database, service, "limit_messages", { per_minute: 60_000 });
  }
});

test("mark_messages refuses another state", async () => {
  await expect(
    call(database, agent("t", "a"), "mark_messages", { ids: ["m"], state: "eaten" }),
  ).rejects.toMatchObject({ code: "22023" });
});

// The embedded database has one connection: nothing happens at once there.
test.skipIf(nativeUrl === undefined)("eight who send the same id at once agree on one message", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const send = () => call(database, alice, "send_message", { id: "m", to_agent: "bob", ...note });
  const answers = await Promise.all(Array.from({ length: 8 }, send));
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  expect(await announcements(database, tenant)).toHaveLength(1);
});
