import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../database/database.ts";
import { closeClients, Heard, openClient, subscribe } from "./testing/official-client.ts";
import { isReply, join, openRaw } from "./testing/raw-channel.ts";
import { openRealtimeDatabase, startTestServer, type TestServer } from "./testing/test-server.ts";

interface Message {
  readonly event: string;
  readonly payload?: unknown;
  readonly meta?: { readonly id?: string; readonly replayed?: boolean };
}

/** The release that can ask for it, on the protocol that can say it. */
const referee = { release: "2.119.1", vsn: "2.0.0" } as const;
const sub = "11111111-1111-4111-8111-111111111111";

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openRealtimeDatabase();
  server = await startTestServer({ database });
});
afterEach(closeClients);
afterAll(async () => {
  await server.close();
  await database.close();
});

async function open(): Promise<Awaited<ReturnType<typeof openClient>>["supabase"]> {
  return (await openClient(server, referee, await server.keyring.mint({ sub }))).supabase;
}

/** What somebody hears who joins now and asks for what was stored. */
async function replayOf(topic: string, count: number): Promise<Message[]> {
  const supabase = await open();
  const channel = supabase.channel(topic, {
    config: { private: true, broadcast: { replay: { since: 0, limit: 25 } } },
  });
  const heard = new Heard<Message>();
  channel.on("broadcast", { event: "*" }, (message) => heard.add(message as Message)); // the shape that the library documents
  expect((await subscribe(channel)).status).toBe("SUBSCRIBED");
  await database.query("select realtime.send('{}', 'end of the stored', $1)", [topic]);
  const all: Message[] = [];
  for (let message = await heard.next(); message.event !== "end of the stored"; message = await heard.next())
    all.push(message);
  expect(all).toHaveLength(count);
  return all;
}

test("a broadcast that is to be kept is heard once live, and again by who comes later, under one id", async () => {
  const topic = "room:kept";
  const [from, to] = [await open(), await open()].map((supabase) =>
    supabase.channel(topic, { config: { private: true, broadcast: { ack: true } } }),
  );
  const heard = new Heard<Message>();
  to!.on("broadcast", { event: "*" }, (message) => heard.add(message as Message)); // the shape that the library documents
  await Promise.all([subscribe(from!), subscribe(to!)]);
  const send = (payload: unknown, persist?: true | { ttl: number }): Promise<string> =>
    from!.send({ type: "broadcast", event: "e", payload, ...(persist === undefined ? {} : { persist }) });
  expect(await send({ n: 1 }, true)).toBe("ok");
  expect(await send({ n: 2 })).toBe("ok");
  expect(await send(Uint8Array.of(0, 255).buffer, { ttl: 60 })).toBe("ok");
  expect(await from!.httpSend("e", { n: 4 }, { persist: { ttl: 259_200 } })).toEqual({ success: true });
  const live = [await heard.next(), await heard.next(), await heard.next(), await heard.next()];
  expect(live.map(({ meta }) => typeof meta?.id)).toEqual(["string", "undefined", "string", "string"]);
  const stored = await replayOf(topic, 3);
  expect(stored.map(({ meta, payload }) => [meta, payload])).toEqual(
    [live[0]!, live[2]!, live[3]!].map(({ meta, payload }) => [{ ...meta, replayed: true }, payload]),
  );
});

test("who comes while messages are being kept hears each of them once, in order", async () => {
  const topic = "room:race";
  const from = (await open()).channel(topic, { config: { private: true, broadcast: { ack: true } } });
  await subscribe(from);
  const numbers = Array.from({ length: 20 }, (_, n) => n);
  const supabase = await open();
  const comer = supabase.channel(topic, {
    config: { private: true, broadcast: { replay: { since: 0, limit: 25 } } },
  });
  const heard = new Heard<Message>();
  comer.on("broadcast", { event: "*" }, (message) => heard.add(message as Message)); // the shape that the library documents
  const sent = numbers.map((n) =>
    from.send({ type: "broadcast", event: "e", payload: { n }, persist: true }),
  );
  await sent[2];
  await subscribe(comer);
  expect(await Promise.all(sent)).toEqual(numbers.map(() => "ok"));
  const all: unknown[] = [];
  for (const _ of numbers) all.push((await heard.next()).payload);
  expect(all).toEqual(numbers.map((n) => ({ n })));
  expect(heard.rest()).toEqual([]);
});

test("what has had its time is not replayed", async () => {
  const topic = "room:short";
  const channel = (await open()).channel(topic, { config: { private: true, broadcast: { ack: true } } });
  await subscribe(channel);
  for (const n of [1, 2]) {
    const sent = channel.send({ type: "broadcast", event: "e", payload: { n }, persist: { ttl: 60 } });
    expect(await sent).toBe("ok");
  }
  // As if a minute had passed for the first.
  await database.query(
    "update realtime.messages set expires_at = expires_at - interval '60 s' where topic = $1 and payload @> '{\"n\": 1}'",
    [topic],
  );
  expect((await replayOf(topic, 1)).map(({ payload }) => payload)).toEqual([{ n: 2 }]);
});

test("who may broadcast and not keep is refused, and nobody hears it", async () => {
  const topic = "bonly:kept";
  const supabase = await open();
  const channel = supabase.channel(topic, {
    config: { private: true, broadcast: { ack: true, self: true } },
  });
  const heard = new Heard<Message>();
  channel.on("broadcast", { event: "*" }, (message) => heard.add(message as Message)); // the shape that the library documents
  await subscribe(channel);
  const sent = channel.send({ type: "broadcast", event: "kept", payload: {}, persist: true });
  expect(await sent).toBe("unauthorized");
  await expect(channel.httpSend("kept", {}, { persist: true })).rejects.toThrow("Unauthorized");
  expect(await channel.send({ type: "broadcast", event: "not kept", payload: {} })).toBe("ok");
  expect((await heard.next()).event).toBe("not kept");
  const { rows } = await database.query("select id from realtime.messages where topic = $1", [topic]);
  expect(rows).toEqual([]);
});

describe("without a client that would refuse first", () => {
  const push = (topic: string, meta: string, payload: string): Buffer =>
    Buffer.concat([
      Buffer.from([3, 1, 1, topic.length, 1, meta.length, 1]),
      Buffer.from(`17${topic}e${meta}${payload}`),
    ]);

  test.each([
    ["a time that cannot be meant", true, '{"persist":{"ttl":0}}', "{}", "invalid_persist_ttl"],
    ["a public channel", false, '{"persist":true}', "{}", "unauthorized"],
    ["a payload that Postgres cannot hold", true, '{"persist":true}', '{"s":"\\u0000"}', "invalid_payload"],
  ])("%s is refused, and nobody hears it", async (name, isPrivate, meta, payload, error) => {
    const topic = `realtime:room:${name}`;
    const token = await server.keyring.mint({ sub });
    const [socket, other] = [await openRaw(server, token), await openRaw(server, token)];
    await join(socket, topic, { private: isPrivate, broadcast: { ack: true } });
    await join(other, topic, { private: isPrivate });
    socket.send(push(topic, meta, payload));
    expect(await socket.take(isReply("7"))).toMatchObject({
      payload: { status: "error", response: { error } },
    });
    socket.send(push(topic, "", '{"n":1}'));
    expect(await other.take(({ userEvent }) => userEvent === "e")).toMatchObject({ payload: { n: 1 } });
    await Promise.all([socket.close(), other.close()]);
  });

  test("the acknowledgement names the row", async () => {
    const topic = "realtime:room:named";
    const socket = await openRaw(server, await server.keyring.mint({ sub }));
    await join(socket, topic, { private: true, broadcast: { ack: true } });
    socket.send(push(topic, '{"persist":true}', '{"n":1}'));
    const reply = await socket.take(isReply("7"));
    const { rows } = await database.query(
      "select id::text from realtime.messages where topic = 'room:named'",
    );
    expect(reply).toMatchObject({ payload: { status: "ok", response: { id: rows[0]?.[0] } } });
    await socket.close();
  });

  test("REST says what it does not keep", async () => {
    const token = await server.keyring.mint({ sub });
    const post = async (query: string): Promise<unknown> => {
      const url = `${server.url}/realtime/v1/api/broadcast/room%3Arest/events/e?${query}`;
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const response = await fetch(url, { method: "POST", headers, body: "{}" });
      return [response.status, (await response.text()).slice(0, 40)];
    };
    expect(await post("persist=true")).toEqual([422, '{"message":"Only messages of private cha']);
    expect(await post("private=true&persist[ttl]=0")).toEqual([
      422,
      '{"message":"persist[ttl] must be a whole',
    ]);
    expect(await post("private=true&persist=false")).toEqual([202, ""]);
  });
});
