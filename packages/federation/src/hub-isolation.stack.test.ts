import { createClient, type RealtimeChannel, type SupabaseClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { resolveTransport } from "./connection/transport.ts";
import { broadcastEvent, type CoordinationMessage } from "./messaging/message.ts";
import type { MemoryEvent } from "./messaging/memory-event.ts";
import type { RealtimeFederationHub } from "./realtime-hub.ts";
import { createSupabaseAdapter } from "./supabase-adapter.ts";
import { next, useHubBench } from "./testing/hub-bench.node.ts";

const bench = useHubBench();

/** The official client, as somebody. */
async function clientOf(token: string | undefined): Promise<SupabaseClient> {
  const { url, anonKey } = bench.stack;
  const client = createClient(url, anonKey, {
    ...(token === undefined ? {} : { accessToken: async () => token }),
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: await resolveTransport() },
  });
  bench.defer(() => client.removeAllChannels());
  await client.realtime.setAuth();
  return client;
}

function join(
  client: SupabaseClient,
  topic: string,
): Promise<{ readonly status: string; readonly channel: RealtimeChannel }> {
  const channel = client.channel(topic, { config: { private: true, broadcast: { ack: true } } });
  return new Promise((resolve) => {
    channel.subscribe((status) => resolve({ status, channel }));
  });
}

const strangers = {
  "a stranger with the anon key": async () => undefined,
  "a user of another tenant": () => bench.mint("spy", "another-tenant"),
  "an agent of the same tenant that is not the addressee": () => bench.mint("eve"),
};

test.each(Object.entries(strangers))(
  "%s cannot read a direct message, join its inbox, or inject one",
  async (who, tokenOf) => {
    const tenant = bench.tenant;
    const [alice, bob] = [await bench.open("alice"), await bench.open("bob")];
    const heard: CoordinationMessage[] = [];
    bob.on("message:received", (message) => heard.push(message));
    const received = next(bob, "message:secret");
    await alice.sendMessage("bob", "secret", { code: 42 });
    await received;

    const token = await tokenOf();
    const client = await clientOf(token);

    // Reading: the table, the functions, the stored broadcasts.
    const rows = await client.from("agent_messages").select("*");
    expect(rows.data ?? []).toEqual([]);
    const pulled = await client.rpc("pull_inbox", { as_agent: "bob", as_tenant: tenant });
    expect(pulled.error?.code).toBe("42501");

    // Joining: the inbox, and for those outside the tenant also room and feed.
    const inbox = `federation:${tenant}:agent:bob`;
    expect((await join(client, inbox)).status).toBe("CHANNEL_ERROR");
    const isMember = who.includes("same tenant");
    for (const topic of [`federation:${tenant}`, `federation:${tenant}:feed`]) {
      expect((await join(client, topic)).status).toBe(isMember ? "SUBSCRIBED" : "CHANNEL_ERROR");
    }

    // Injecting: by function, by insert, by broadcast over HTTP to inbox and feed, by a forged frame in the room.
    const message = {
      id: crypto.randomUUID(),
      from_agent: "alice",
      to_agent: "bob",
      type: "forged",
      payload: {},
      timestamp: new Date().toISOString(),
    };
    const args = {
      id: message.id,
      to_agent: "bob",
      type: "forged",
      payload: {},
      as_agent: "alice",
      as_tenant: tenant,
    };
    expect((await client.rpc("send_message", args)).error?.code).toBe("42501");
    expect(
      (await client.from("agent_messages").insert({ ...args, tenant_id: tenant, from_agent: "alice" })).error,
    ).not.toBeNull();
    for (const topic of [inbox, `federation:${tenant}:feed`]) {
      const channel = client.channel(topic, { config: { private: true } });
      const sent = await channel.httpSend("message", { message }).catch((error: unknown) => error);
      expect(sent).not.toEqual({ success: true });
    }
    const room = client.channel(`federation:${tenant}`, { config: { private: true } });
    await room.httpSend("message", { message }).catch(() => {});
    await room
      .httpSend(broadcastEvent, {
        messages: [message, { ...message, to_agent: undefined, type: "task_assignment" }],
      })
      .catch(() => {});

    const last = next(bob, "message:end");
    await alice.sendMessage("bob", "end", null);
    await last;
    expect(heard.map(({ type }) => type)).toEqual(["secret", "end"]);
  },
);

test("another tenant with the same agent ids hears nothing and sees nobody", async () => {
  const [alice, bob] = [await bench.open("alice"), await bench.open("bob")];
  const otherBob = await bench.open("bob", {}, `${bench.tenant}-other`);
  const heard: CoordinationMessage[] = [];
  otherBob.on("message:received", (message) => heard.push(message));
  const received = Promise.all([
    next(bob, "message:direct"),
    next(bob, "message:ephemeral"),
    next(bob, "message:durable"),
  ]);
  await alice.sendMessage("bob", "direct", {});
  await alice.broadcast("ephemeral", {});
  await alice.broadcast("durable", {}, { durable: true });
  await received;
  const own = next(otherBob, "message:own");
  await otherBob.sendMessage("bob", "own", {});
  await own;
  expect(heard.map(({ type }) => type)).toEqual(["own"]);
  expect(otherBob.getActiveAgents()).toHaveLength(1);
});

test("a member that claims to be somebody else in a broadcast is not vouched for, and cannot speak as the receiver", async () => {
  const bob = await bench.open("bob");
  const heard: CoordinationMessage[] = [];
  bob.on("message:received", (message) => heard.push(message));
  const client = await clientOf(await bench.mint("eve"));
  const { channel, status } = await join(client, `federation:${bench.tenant}`);
  expect(status).toBe("SUBSCRIBED");
  const frame = (from: string): object => ({
    messages: [
      {
        id: crypto.randomUUID(),
        from_agent: from,
        type: "claim",
        payload: {},
        timestamp: new Date().toISOString(),
        verified: true,
      },
    ],
  });
  const claim = next(bob, "message:claim");
  await channel.send({ type: "broadcast", event: broadcastEvent, payload: frame("bob") });
  await channel.send({ type: "broadcast", event: broadcastEvent, payload: frame("alice") });
  await claim;
  expect(heard).toMatchObject([{ from_agent: "alice", verified: false }]);
});

test("a forged memory, session or message event in the room changes nothing", async () => {
  const bob = await bench.open("bob");
  const events: string[] = [];
  bob.on("memory:added", ({ id }) => events.push(id));
  bob.on("agent:join", ({ agent_id }) => events.push(agent_id), { replay: false });
  const client = await clientOf(await bench.mint("eve"));
  const { channel } = await join(client, `federation:${bench.tenant}`);
  const memory = { id: "forged", tenant_id: bench.tenant, agent_id: "alice", content: "x" };
  await channel.send({ type: "broadcast", event: "memory", payload: { op: "added", memories: [memory] } });
  await channel.send({
    type: "broadcast",
    event: "sessions",
    payload: {
      sessions: [{ agent_id: "ghost", session_id: "s", instance_id: "i", status: "online", ended_at: null }],
    },
  });
  const claim = next(bob, "message:end");
  const end = { id: "1", from_agent: "eve", type: "end", payload: {}, timestamp: new Date().toISOString() };
  await channel.send({ type: "broadcast", event: broadcastEvent, payload: { messages: [end] } });
  await claim;
  expect(events).toEqual([]);
});

/** Everything that the official client can hear of memories as somebody: the feed, the room, and changes of the table. */
async function overhear(token: string, tenant: string): Promise<string[]> {
  const client = await clientOf(token);
  const frames: string[] = [];
  for (const topic of [`federation:${tenant}:feed`, `federation:${tenant}`]) {
    const { channel } = await join(client, topic);
    channel.on("broadcast", { event: "*" }, (frame) => frames.push(JSON.stringify(frame)));
  }
  const changes = client
    .channel("changes of memories")
    .on("postgres_changes", { event: "*", schema: "public", table: "agent_memories" }, (change) =>
      frames.push(JSON.stringify(change)),
    );
  await new Promise<void>((resolve) => {
    changes.on("system", {}, ({ status }: { status: string }) => {
      if (status === "ok") resolve();
    });
    changes.subscribe();
  });
  return frames;
}

function memoryEvents(hub: RealtimeFederationHub): string[] {
  const told: string[] = [];
  for (const event of ["memory:added", "memory:updated", "memory:deleted"] as const)
    hub.on(event, ({ id, content }: MemoryEvent) => told.push(`${event.slice(7)} ${id} ${content}`));
  return told;
}

test("a memory that its scope keeps from an agent is told to it on no channel, whatever becomes of it", async () => {
  const { tenant, stack } = bench;
  const { url, anonKey, jwtSecret } = stack;
  const adapter = createSupabaseAdapter({ url, anonKey, jwtSecret });
  bench.defer(() => adapter.shutdown());
  const hubs = [await bench.open("alice"), await bench.open("bob"), await bench.open("carol")] as const;
  const [alice, bob, carol] = hubs.map(memoryEvents);
  const overheard = await overhear(await bench.mint("carol"), tenant);
  await adapter.registerSession("of-bob", tenant, "bob");
  const store = (id: string, content: string, scope: "agent" | "session" | "tenant"): Promise<unknown> =>
    adapter.storeMemory({ id, tenant_id: tenant, agent_id: "alice", session_id: "of-bob", content, scope });
  const [a, b] = hubs;
  const heard = async (step: Promise<unknown>, ...events: Promise<unknown>[]): Promise<void> =>
    void (await Promise.all([step, ...events]));
  await heard(store("secret-1", "1", "agent"), next(a, "memory:added"));
  await heard(store("secret-2", "1", "session"), next(a, "memory:added"), next(b, "memory:added"));
  await heard(store("secret-1", "2", "session"), next(a, "memory:updated"), next(b, "memory:added"));
  await heard(store("secret-2", "2", "agent"), next(a, "memory:updated"), next(b, "memory:deleted"));
  const remove = (id: string): Promise<boolean> => adapter.deleteMemory(id, tenant, { agent: "alice" });
  await heard(remove("secret-1"), next(a, "memory:deleted"), next(b, "memory:deleted"));
  await heard(remove("secret-2"), next(a, "memory:deleted"));
  const ended = Promise.all(hubs.map((hub) => next(hub, "memory:updated")));
  await store("end", "1", "tenant");
  await store("end", "2", "tenant");
  await ended;
  expect(carol).toEqual(["added end 1", "updated end 2"]);
  expect(bob).toEqual([
    "added secret-2 1",
    "added secret-1 2",
    "deleted secret-2 null",
    "deleted secret-1 null",
    "added end 1",
    "updated end 2",
  ]);
  expect(alice).toEqual([
    "added secret-1 1",
    "added secret-2 1",
    "updated secret-1 2",
    "updated secret-2 2",
    "deleted secret-1 null",
    "deleted secret-2 null",
    "added end 1",
    "updated end 2",
  ]);
  await expect
    .poll(
      () =>
        overheard.filter((frame) => frame.includes('"postgres_changes"') || frame.includes('"end"')).length,
    )
    .toBeGreaterThan(3);
  expect(overheard.filter((frame) => frame.includes("secret"))).toEqual([]);
});

test("a memory that narrows to its agent is gone for the others' hubs and stays for its own; nobody is told twice", async () => {
  const { tenant, stack } = bench;
  const { url, anonKey, jwtSecret } = stack;
  const adapter = createSupabaseAdapter({ url, anonKey, jwtSecret });
  bench.defer(() => adapter.shutdown());
  const hubs = [await bench.open("alice"), await bench.open("bob")] as const;
  const [alice, bob] = hubs.map(memoryEvents);
  const store = (id: string, content: string, scope: "agent" | "tenant"): Promise<unknown> =>
    adapter.storeMemory({ id, tenant_id: tenant, agent_id: "alice", content, scope });
  const [a, b] = hubs;
  await Promise.all([store("k", "1", "tenant"), next(a, "memory:added"), next(b, "memory:added")]);
  await Promise.all([store("k", "2", "agent"), next(a, "memory:added"), next(b, "memory:deleted")]);
  await Promise.all([store("k", "3", "tenant"), next(a, "memory:added"), next(b, "memory:added")]);
  await Promise.all([store("k", "4", "tenant"), next(a, "memory:updated"), next(b, "memory:updated")]);
  expect(alice).toEqual(["added k 1", "added k 2", "added k 3", "updated k 4"]);
  expect(bob).toEqual(["added k 1", "deleted k null", "added k 3", "updated k 4"]);
});
