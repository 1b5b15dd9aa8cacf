import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import type { ChannelState } from "./channel-state.ts";
import { openConnection } from "./connection.ts";
import { DependableChannel } from "./dependable-channel.ts";

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).toReversed()) await each.close();
});

type Frame = readonly [
  joinRef: string,
  ref: string,
  topic: string,
  event: string,
  payload: Record<string, unknown>,
];
type Answer = (
  frame: Frame,
  send: (event: string, payload: object, ref?: string | null) => void,
  socket: WebSocket,
) => void;

/** A Realtime server that answers joins as a test wants, and one channel against it whose waits a test moves by hand. */
async function open(answerJoin: Answer): Promise<{
  channel: DependableChannel;
  clock: TestClock;
  joins: Frame[];
  states: ChannelState[];
  until: (test: () => boolean) => Promise<void>;
  changeToken: () => void;
  /** What the channel heard in broadcasts while it was joined, and otherwise. */
  heard: string[];
}> {
  const joins: Frame[] = [];
  const states: ChannelState[] = [];
  const heard: string[] = [];
  const watchers = new Set<() => void>();
  const look = (): void => watchers.forEach((watcher) => watcher());
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    socket.on("message", (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Frame; // what supabase-js sends
      if (frame[3] !== "phx_join") return;
      joins.push(frame);
      const send = (event: string, payload: object, ref: string | null = null): void =>
        socket.send(JSON.stringify([frame[0], ref, frame[2], event, payload]));
      answerJoin(frame, send, socket);
      look();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push({ close: () => new Promise((resolve) => server.close(resolve)) });
  opened.push({ close: () => sockets.clients.forEach((socket) => socket.terminate()) });
  let tokens = 0;
  const connection = await openConnection({
    access: {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      apiKey: "sb_publishable_x",
      credential: { kind: "callback", accessToken: () => `opaque-${tokens}` },
    },
    actor: { tenantId: "t", agentId: "a" },
    requestTimeoutMs: 3000,
    socketHeartbeatMs: 25_000,
    clock: systemClock,
    random: () => 0,
    log: silentLog,
  });
  opened.push(connection);
  const clock = new TestClock();
  // The channel's own source of tokens: what the connection holds never expires, so it would not be asked again.
  const host = {
    client: connection.client,
    get isSocketOpen() {
      return connection.isSocketOpen;
    },
    refreshAuth: (signal: AbortSignal) => connection.refreshAuth(signal),
    tokens: { token: async () => `opaque-${tokens}` },
  };
  const channel = new DependableChannel(
    {
      topic: "room",
      config: { private: true },
      bind: (room, isJoined) =>
        room.on("broadcast", { event: "*" }, ({ event }: { event: string }) => {
          heard.push(`${event} ${isJoined() ? "joined" : "not joined"}`);
          look();
        }),
      onJoined: () => {},
      onState: (state) => {
        states.push(state);
        look();
      },
    },
    { host, clock, random: () => 0, log: silentLog, joinTimeoutMs: 5000 },
  );
  opened.push(channel);
  channel.open();
  const until = (test: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const watcher = (): void => {
        if (!test()) return;
        watchers.delete(watcher);
        resolve();
      };
      watchers.add(watcher);
      watcher();
    });
  return { channel, clock, joins, states, heard, until, changeToken: () => void tokens++ };
}

const accept: Answer = ([, ref], send) =>
  send("phx_reply", { status: "ok", response: { postgres_changes: [] } }, ref);
const refuse: Answer = ([, ref], send) =>
  send(
    "phx_reply",
    {
      status: "error",
      response: { reason: "Unauthorized: You do not have permissions to read from this Channel topic: room" },
    },
    ref,
  );

test("the first join carries the token", async () => {
  const { channel, joins } = await open(accept);
  await channel.whenJoined(5000);
  expect(joins[0]?.[4]["access_token"]).toBe("opaque-0");
});

test("a refused channel is tried three times, then no more until the token changes", async () => {
  let isWelcome = false;
  const { channel, clock, joins, states, until, changeToken } = await open((...join) =>
    (isWelcome ? accept : refuse)(...join),
  );
  const rejected = expect(channel.whenJoined(500_000)).rejects.toMatchObject({ code: "unauthorized" });
  for (let tries = 1; tries < 3; tries++) {
    await until(() => states.filter((state) => state.name === "waiting").length === tries);
    await clock.advance(5000);
  }
  await until(() => channel.state.name === "refused");
  await rejected;
  await clock.advance(60_000);
  expect(joins).toHaveLength(3);
  changeToken();
  isWelcome = true;
  await clock.advance(5000);
  await until(() => channel.state.name === "online");
  expect(joins).toHaveLength(4);
});

test("a channel that the server closed over a rate is built anew, not before five seconds have passed", async () => {
  let isFirst = true;
  const { channel, clock, joins, until } = await open((frame, send, socket) => {
    accept(frame, send, socket);
    if (!isFirst) return;
    isFirst = false;
    send("system", {
      status: "error",
      extension: "system",
      channel: "room",
      message: "Client presence rate limit exceeded",
    });
    send("phx_close", {});
  });
  await until(() => channel.state.name === "waiting");
  expect(channel.state).toMatchObject({ kind: "limited", cause: { code: "busy" } });
  await clock.advance(4999);
  expect(joins).toHaveLength(1);
  await clock.advance(1000);
  await until(() => channel.state.name === "online");
  expect(joins).toHaveLength(2);
});

test("a crashed channel joins again after its back-off", async () => {
  let isFirst = true;
  const { channel, clock, joins, until } = await open((frame, send, socket) => {
    accept(frame, send, socket);
    if (isFirst) send("phx_error", { reason: "channel_crash" }, frame[0]);
    isFirst = false;
  });
  await until(() => channel.state.name === "waiting");
  await clock.advance(1000);
  await until(() => channel.state.name === "online");
  expect(joins).toHaveLength(2);
});

test("a lost socket is not a dead channel: supabase-js joins again by itself", async () => {
  const sockets: WebSocket[] = [];
  const { channel, joins, states, until } = await open((frame, send, socket) => {
    sockets.push(socket);
    accept(frame, send, socket);
  });
  await channel.whenJoined(5000);
  sockets[0]?.terminate();
  await until(() => joins.length === 2 && channel.state.name === "online");
  expect(states.map((state) => state.name)).toEqual(["joining", "online", "joining", "online"]);
});

test("a closed channel joins no more and nothing of it waits", async () => {
  const { channel, clock, until } = await open(refuse);
  await until(() => channel.state.name === "waiting");
  expect(channel.close()).toBe(channel.close());
  await channel.close();
  await expect(channel.whenJoined(10)).rejects.toMatchObject({ code: "closed" });
  expect(channel.state.name).toBe("closed");
  expect(clock.pending).toBe(0);
});

test("what a channel hears before it has joined and while it is dropped is told apart: earlier words may be missing", async () => {
  const sockets: WebSocket[] = [];
  const { channel, heard, until } = await open((frame, send, socket) => {
    sockets.push(socket);
    const said = (event: string): void => send("broadcast", { type: "broadcast", event, payload: {} });
    said(`early ${sockets.length}`);
    accept(frame, send, socket);
    said(`late ${sockets.length}`);
  });
  await until(() => heard.includes("late 1 joined"));
  sockets[0]?.terminate();
  await until(() => heard.includes("late 2 joined"));
  expect(heard).toEqual(["early 1 not joined", "late 1 joined", "early 2 not joined", "late 2 joined"]);
  expect(channel.state.name).toBe("online");
});
