import { createClient, type RealtimeChannel, type SupabaseClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { resolveTransport } from "./connection/transport.ts";
import { broadcastEvent, type CoordinationMessage } from "./messaging/message.ts";
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
