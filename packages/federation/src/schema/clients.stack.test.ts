import { createClient } from "@supabase/supabase-js";
import WebSocket from "ws";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { LocalSupabase } from "../../../local-supabase/src/index.ts";
import { migrationsDir } from "../../../../test-support/sql-files.ts";
import { freshTenant, startTestStack } from "../../../../test-support/stack.ts";
import type { Database } from "./database-types.gen.ts";

// The same rules once more, through the unmodified client: REST, private channels, typed by the generated types.

let stack: LocalSupabase;
const clients: Client[] = [];
beforeAll(async () => {
  stack = await startTestStack({ migrationsDir });
});
afterEach(async () => {
  for (const client of clients.splice(0)) {
    await client.removeAllChannels();
    await client.realtime.disconnect();
  }
});
afterAll(() => stack.close());

type Client = ReturnType<typeof createTyped>;

function createTyped(url: string, key: string, options: Parameters<typeof createClient>[2]) {
  return createClient<Database>(url, key, options);
}

function connect(key: string, token?: string): Client {
  const client = createTyped(stack.url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: WebSocket as never }, // its constructor takes more than the client's type says
    ...(token === undefined ? {} : { accessToken: () => Promise.resolve(token) }),
  });
  clients.push(client);
  return client;
}

async function connectAgent(tenant: string, name: string) {
  const token = await stack.mintToken({
    sub: "6b1f5f4e-6f0c-4c5e-9d55-0f6a3d1f0001",
    app_metadata: { tenant_id: tenant, agent_id: name },
  });
  return connect(stack.anonKey, token);
}

/** Resolves to the status the channel settles on, with what it hears from then on. */
async function join(client: Client, topic: string) {
  await client.realtime.setAuth();
  const heard: unknown[] = [];
  let tell: (() => void) | undefined;
  const channel = client
    .channel(topic, { config: { private: true, broadcast: { ack: true, self: true } } })
    .on("broadcast", { event: "*" }, ({ event, payload }) => {
      heard.push({ event, payload: payload as unknown });
      tell?.();
    });
  const status = await new Promise<string>((resolve) => {
    channel.subscribe((state) => resolve(state));
  });
  const next = async (count: number): Promise<unknown[]> => {
    while (heard.length < count) await new Promise<void>((resolve) => (tell = resolve));
    return heard;
  };
  return { channel, status, next };
}

async function inject(client: Client, topic: string): Promise<unknown> {
  const channel = client.channel(topic, { config: { private: true } });
  return await channel.httpSend("message", { forged: true });
}

test("a direct message reaches the inbox of its agent, live and by pulling; others cannot join, read or inject", async () => {
  const tenant = freshTenant();
  const [alice, bob, carol] = await Promise.all([
    connectAgent(tenant, "alice"),
    connectAgent(tenant, "bob"),
    connectAgent(tenant, "carol"),
  ]);
  const stranger = await connectAgent(freshTenant(), "bob");
  const inbox = `federation:${tenant}:agent:bob`;
  const joined = await join(bob, inbox);
  expect(joined.status).toBe("SUBSCRIBED");
  for (const other of [carol, stranger, connect(stack.anonKey)]) {
    expect((await join(other, inbox)).status).toBe("CHANNEL_ERROR");
    await expect(inject(other, inbox)).rejects.toThrow("Unauthorized");
  }
  // Its own agent may listen, not speak.
  await expect(inject(bob, inbox)).rejects.toThrow("Unauthorized");

  const sent = await alice.rpc("send_message", { id: "m1", to_agent: "bob", type: "t", payload: { n: 1 } });
  expect(sent.error).toBeNull();
  expect(await joined.next(1)).toMatchObject([{ event: "message", payload: { message: sent.data } }]);
  expect((await bob.rpc("pull_inbox")).data).toEqual([sent.data]);
  expect((await carol.from("agent_messages").select("*")).data).toEqual([]);
  expect((await stranger.from("agent_messages").select("*")).data).toEqual([]);
  const anonymous = await connect(stack.anonKey).from("agent_messages").select("*");
  expect(anonymous.error?.code).toBe("42501");
});

test("a memory written through the table is announced on the feed, and refused for another agent", async () => {
  const tenant = freshTenant();
  const [alice, bob] = [await connectAgent(tenant, "alice"), await connectAgent(tenant, "bob")];
  const feed = await join(bob, `federation:${tenant}:feed`);
  expect(feed.status).toBe("SUBSCRIBED");
  const inserted = await alice
    .from("agent_memories")
    .insert({ id: "k", content: "seen", embedding: "[1,0]" })
    .select("id, agent_id, version")
    .single();
  expect(inserted.data).toEqual({ id: "k", agent_id: "alice", version: 1 });
  expect(await feed.next(1)).toMatchObject([
    {
      event: "memory",
      payload: { op: "added", memories: [{ id: "k", content: "seen", embedding: [1, 0] }] },
    },
  ]);
  const upserted = await alice
    .from("agent_memories")
    .upsert(
      { tenant_id: tenant, id: "k", agent_id: "alice", content: "twice" },
      { onConflict: "tenant_id,id" },
    );
  expect(upserted.error).toBeNull();
  expect(await feed.next(2)).toMatchObject([{}, { payload: { op: "updated" } }]);
  const found = await bob.rpc("search_memories", { embedding: [1, 0] });
  expect(found.data).toMatchObject([{ id: "k", similarity: 1, content: "twice" }]);
  const foreign = await bob.from("agent_memories").insert({ id: "f", content: "x", agent_id: "alice" });
  expect(foreign).toMatchObject({ status: 403, error: { code: "42501" } });
});

test("a service acts for whom it names; a wrong argument, a taken id and a missing row say what they are", async () => {
  const tenant = freshTenant();
  const admin = connect(stack.serviceRoleKey);
  const acting = { as_agent: "alice", as_tenant: tenant };
  const task = { task_id: "t", assigned_to: "bob", description: "d" };
  expect((await admin.rpc("assign_task", { task, ...acting })).data).toMatchObject({ status: "assigned" });
  expect(
    await admin.rpc("assign_task", { task: { ...task, description: "other" }, ...acting }),
  ).toMatchObject({
    status: 409,
    error: { code: "23505" },
  });
  expect(await admin.rpc("assign_task", { task: {}, ...acting })).toMatchObject({
    status: 400,
    error: { code: "22023", message: "task_id: expected a text, got nothing" },
  });
  expect(await admin.rpc("complete_task", { task_id: "none", result: {}, ...acting })).toMatchObject({
    error: { code: "P0002" },
  });
  expect(await admin.rpc("list_sessions")).toMatchObject({ status: 403, error: { code: "42501" } });
  expect((await connect(stack.anonKey).rpc("schema_version")).data).toBe(7);
});
