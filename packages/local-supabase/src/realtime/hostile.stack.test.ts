import { once } from "node:events";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import type { Database } from "../database/database.ts";
import { isReply, join, openRaw, push } from "./testing/raw-channel.ts";
import type { RawSocket } from "./testing/raw-socket.ts";
import { TestClock } from "./testing/test-clock.ts";
import { openRealtimeDatabase, startTestServer, type TestServer } from "./testing/test-server.ts";

const ok = { status: "ok", response: { postgres_changes: [] } };
const heartbeat = JSON.stringify([null, "hb", "phoenix", "heartbeat", {}]);

let database: Database;
let server: TestServer;
const open: RawSocket[] = [];
beforeAll(async () => {
  database = await openRealtimeDatabase();
  server = await startTestServer({ database });
});
afterEach(() => Promise.all(open.splice(0).map((socket) => socket.close())));
afterAll(async () => {
  await server.close();
  await database.close();
});

async function connect(at = server, token?: string): Promise<RawSocket> {
  const socket = await openRaw(at, token);
  open.push(socket);
  return socket;
}

describe("hostile frames harm nobody but their sender", () => {
  test("[16] any bytes leave the socket open, and unanswered unless they are a message", async () => {
    const [hostile, other] = [await connect(), await connect()];
    await join(other, "realtime:bytes", { presence: { enabled: true } });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, isBinary) => {
        hostile.ws.send(Buffer.from(bytes), { binary: isBinary });
        hostile.send(heartbeat);
        expect(await hostile.take(isReply("hb"))).toBeDefined();
      }),
    );
    other.send(heartbeat);
    await other.take(isReply("hb"));
    expect(other.received.filter((frame) => !String(frame).includes("presence_state"))).toEqual([]);
  });

  test("[89] what somebody tracks may be nested however deep: the others and the server go on", async () => {
    const [hostile, other] = [await connect(), await connect()];
    await join(other, "realtime:deep", { presence: { enabled: true } });
    await join(hostile, "realtime:deep", { presence: { enabled: true } });
    // Few enough for the limit of five calls in 30 s; between them lies the depth at which JSON.stringify gives up.
    for (const [call, depth] of [101, 4_050, 4_110, 5_000].entries()) {
      const nested = `${"[".repeat(depth)}${"]".repeat(depth)}`;
      hostile.send(
        `["1","t${call}","realtime:deep","presence",{"type":"presence","event":"track","payload":{"a":${nested}}}]`,
      );
      const reply = JSON.stringify(await hostile.take(isReply(`t${call}`)));
      expect(reply).toContain("nested at most 100 deep");
    }
    other.send(heartbeat);
    expect(await other.take(isReply("hb"))).toBeDefined();
  });

  test("[30] a join with any payload is answered, and the socket lives on", async () => {
    const socket = await connect();
    let joins = 0;
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (payload) => {
        const ref = `j${++joins}`;
        push(socket, `realtime:any-${joins}`, "phx_join", payload, ref);
        expect(await socket.take(isReply(ref))).toBeDefined();
      }),
    );
  });

  test("[68] any presence or broadcast payload leaves the channel joined", async () => {
    const [hostile, other] = [await connect(), await connect()];
    await join(hostile, "realtime:any-payload", { broadcast: { ack: true } });
    await join(other, "realtime:any-payload");
    await fc.assert(
      fc.asyncProperty(
        fc.jsonValue(),
        fc.constantFrom("broadcast", "access_token"),
        async (payload, event) => {
          push(hostile, "realtime:any-payload", event, payload, "x");
          push(hostile, "realtime:any-payload", "broadcast", { event: "after" }, "after");
          expect(await hostile.take(isReply("after"))).toMatchObject({ payload: { status: "ok" } });
          const heard = await other.take(
            (frame) => (frame["payload"] as { event?: string }).event === "after",
          );
          expect(heard).toBeDefined();
        },
      ),
      { numRuns: 50 },
    );
  });

  test.each([
    ["is no object", "text"],
    ["has an event that is no text", { event: 5, payload: {} }],
    ["looks like a row change", { event: "e", ids: [1] }],
  ])("[68] a broadcast that %s is refused, and the channel goes on", async (_what, payload) => {
    const [hostile, other] = [await connect(), await connect()];
    await join(hostile, "realtime:refused", { broadcast: { ack: true } });
    await join(other, "realtime:refused");
    push(hostile, "realtime:refused", "broadcast", payload, "2");
    const error = { status: "error", response: { error: "invalid_payload" } };
    expect(await hostile.take(isReply("2"))).toMatchObject({ payload: error });
    push(hostile, "realtime:refused", "broadcast", { event: "after" }, "3");
    expect(await hostile.take(isReply("3"))).toMatchObject({ payload: { status: "ok" } });
    expect(await other.take(() => true)).toMatchObject({ payload: { event: "after" } });
  });

  test("[66][67] kind 0 is ignored, and bytes marked as JSON that are none go nowhere", async () => {
    const [hostile, other] = [await connect(), await connect()];
    await join(hostile, "realtime:kinds", { broadcast: { ack: true } });
    await join(other, "realtime:kinds");
    const topic = Buffer.from("realtime:kinds");
    hostile.send(
      Buffer.concat([
        Buffer.from([0, 1, 1, topic.length, 9]),
        Buffer.from("17"),
        topic,
        Buffer.from("broadcast{}"),
      ]),
    );
    hostile.send(
      Buffer.concat([
        Buffer.from([3, 1, 1, topic.length, 1, 0, 1]),
        Buffer.from("12"),
        topic,
        Buffer.from("e{}},"),
      ]),
    );
    expect(await hostile.take(isReply("2"))).toMatchObject({
      payload: { status: "error", response: { error: "invalid_payload" } },
    });
    push(hostile, "realtime:kinds", "broadcast", { event: "after" });
    expect(await other.take(() => true)).toMatchObject({ payload: { event: "after" } });
    expect(await hostile.take(() => true)).toMatchObject({ ref: "9", payload: { status: "ok" } });
    expect(hostile.received).toEqual([]);
  });

  test("[18] a frame over 5,000,000 bytes closes its socket and no other", async () => {
    const [hostile, other] = [await connect(), await connect()];
    hostile.ws.on("error", () => {}); // the write may fail when the server has closed already
    hostile.send(Buffer.alloc(5_000_001));
    expect([1009, 1006]).toContain((await hostile.closed).code);
    other.send(heartbeat);
    expect(await other.take(isReply("hb"))).toBeDefined();
  });

  test("[64] a payload over the limit is refused and the socket lives on", async () => {
    const socket = await connect();
    await join(socket, "realtime:big", { broadcast: { ack: true } });
    push(socket, "realtime:big", "broadcast", { event: "e", payload: "x".repeat(3_000_501) }, "2");
    expect(await socket.take(isReply("2"))).toMatchObject({
      payload: { response: { error: "payload_size_exceeded" } },
    });
    push(socket, "realtime:big", "broadcast", { event: "e", payload: "x".repeat(2_900_000) }, "3");
    expect(await socket.take(isReply("3"))).toMatchObject({ payload: { status: "ok" } });
  });

  test("[92] a presence payload over the limit closes the channel", async () => {
    const socket = await connect();
    await join(socket, "realtime:big");
    push(socket, "realtime:big", "presence", { event: "track", payload: { s: "x".repeat(3_000_501) } }, "2");
    expect(await socket.take(() => true)).toMatchObject({
      event: "system",
      payload: { message: "Track message size exceeded" },
    });
    expect(await socket.take(() => true)).toMatchObject({ event: "phx_close" });
  });

  test("[95] a presence key that breaks receivers is refused at the join", async () => {
    const socket = await connect();
    expect(await join(socket, "realtime:keys", { presence: { key: "ids", enabled: true } })).toMatchObject({
      status: "error",
    });
    expect(await join(socket, "realtime:keys", { presence: { key: "id", enabled: true } })).toEqual(ok);
  });

  test("a client that does not read is cut off, and the others miss nothing", async () => {
    const small = await startTestServer({ database, settings: { maxBufferedBytes: 200_000 } });
    try {
      const [sender, reader, stalled] = [await connect(small), await connect(small), await connect(small)];
      await join(sender, "realtime:stalled", { broadcast: { ack: true } });
      await join(reader, "realtime:stalled");
      await join(stalled, "realtime:stalled");
      stalled.ws.pause();
      let sent = 0;
      const isCutOff = (): boolean => small.log.some(({ message }) => message.includes("cut off"));
      for (; !isCutOff() && sent < 500; sent++) {
        push(
          sender,
          "realtime:stalled",
          "broadcast",
          { event: "e", n: sent, payload: "x".repeat(100_000) },
          `s${sent}`,
        );
        await sender.take(isReply(`s${sent}`));
        expect(await reader.take(() => true)).toMatchObject({ payload: { n: sent } });
      }
      expect(isCutOff()).toBe(true);
      stalled.ws.resume(); // before its time is over: what lay in the socket comes, and then why it ends
      const { code, reason } = await stalled.closed;
      expect([code, reason]).toEqual([1008, "too slow: more than 200000 bytes waited to be read"]);
      expect(small.log.filter(({ fields }) => fields?.["slowReaders"] === 1)).toHaveLength(1);
    } finally {
      await small.close();
    }
  });

  test("a client that never reads again is gone after its time, and what waited for it with it", async () => {
    const clock = new TestClock(Date.now());
    const small = await startTestServer({ database, clock, settings: { maxBufferedBytes: 200_000 } });
    try {
      const [sender, stalled] = [await connect(small), await connect(small)];
      await join(sender, "realtime:stalled", { broadcast: { ack: true }, presence: { enabled: true } });
      await join(stalled, "realtime:stalled", { presence: { key: "stalled" } });
      push(stalled, "realtime:stalled", "presence", { event: "track", payload: {} });
      await sender.take(
        ({ event, payload }) => event === "presence_diff" && JSON.stringify(payload).includes("stalled"),
      );
      stalled.ws.pause();
      const payload = "x".repeat(100_000);
      let hasLeft = false;
      for (let n = 0; n < 500 && !hasLeft; n++) {
        push(sender, "realtime:stalled", "broadcast", { event: "e", payload }, `s${n}`);
        await sender.take(isReply(`s${n}`));
        hasLeft = sender.received.some((frame) => String(frame).includes(`"leaves":{"stalled"`));
      }
      expect(hasLeft).toBe(true); // it left its rooms at once, though its socket still hangs
      clock.advance(1000);
      stalled.ws.resume();
      expect((await stalled.closed).code).toBe(1006);
    } finally {
      await small.close();
    }
  });

  test("pushes that wait behind a policy check are all answered, however many", async () => {
    const token = await server.keyring.mint({ sub: "11111111-1111-4111-8111-111111111111" });
    const socket = await connect(server, token);
    socket.send(
      JSON.stringify([
        "1",
        "1",
        "realtime:room:flood",
        "phx_join",
        { config: { private: true, broadcast: { ack: true } } },
      ]),
    );
    for (let n = 0; n < 3000; n++) push(socket, "realtime:room:flood", "broadcast", { n }, `f${n}`);
    for (let n = 0; n < 3000; n++)
      expect(await socket.take(isReply(`f${n}`))).toMatchObject({ payload: { status: "ok" } });
  });
});

describe("sockets", () => {
  test("[19] a silent client is closed after 60 s, one that says something stays", async () => {
    const clock = new TestClock(Date.now());
    const timed = await startTestServer({ database, clock });
    try {
      const [silent, alive] = [await connect(timed), await connect(timed)];
      clock.advance(59_000);
      alive.send(heartbeat);
      await alive.take(isReply("hb"));
      clock.advance(1000);
      expect(await silent.closed).toEqual({ code: 1000, reason: "" });
      expect(alive.ws.readyState).toBe(WebSocket.OPEN);
      alive.ws.ping();
      await once(alive.ws, "pong");
      clock.advance(59_999);
      alive.send(heartbeat);
      expect(await alive.take(isReply("hb"))).toBeDefined();
    } finally {
      await timed.close();
    }
  });

  test("[39] while a join waits, heartbeats and other topics do not", async () => {
    const clock = new TestClock(Date.now());
    const timed = await startTestServer({ database, clock, settings: { joinRefusalDelayMs: 5000 } });
    try {
      const socket = await connect(timed);
      socket.send(JSON.stringify(["1", "1", "realtime:room:no", "phx_join", { config: { private: true } }]));
      push(socket, "realtime:room:no", "broadcast", {}, "2");
      socket.send(heartbeat);
      expect(await socket.take(() => true)).toMatchObject({ ref: "hb" });
      expect(await join(socket, "realtime:other")).toEqual(ok);
      await timed.database.query("select 1"); // the check of the policies lies before this
      while (socket.received.length === 0) {
        clock.advance(5000);
        socket.send(heartbeat);
        await socket.take(isReply("hb"));
      }
      expect(await socket.take(() => true)).toMatchObject({ ref: "1", payload: { status: "error" } });
      expect(await socket.take(() => true)).toMatchObject({
        ref: "2",
        payload: { response: { reason: "unmatched topic" } },
      });
    } finally {
      await timed.close();
    }
  });

  test("[47] the last member takes its presence with it", async () => {
    const [first, second] = [await connect(), await connect()];
    await join(first, "realtime:gone", { presence: { enabled: true, key: "k" } });
    push(first, "realtime:gone", "presence", { event: "track", payload: {} }, "2");
    await first.take(({ event }) => event === "presence_diff");
    await first.close();
    await join(second, "realtime:gone", { presence: { enabled: true } });
    expect(await second.take(({ event }) => event === "presence_state")).toMatchObject({ payload: {} });
  });

  test("a closed server takes no sockets", async () => {
    const closed = await startTestServer({ database });
    await closed.realtime.close();
    await expect(openRaw(closed)).rejects.toThrow("Error connecting to Realtime");
    await closed.close();
  });
});
