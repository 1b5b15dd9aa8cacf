import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { classifyReason, reasonError } from "./channel-reason.ts";
import { maxRefusals, nextChannelState, type ChannelEvent, type ChannelState } from "./channel-state.ts";
import { openConnection, type Connection } from "./connection.ts";
import { waitMs } from "./dependable-channel.ts";
import { errorFromRest, type RestFailure } from "./rest-error.ts";
import { retrying } from "./retry.ts";

const cause = new FederationError("unreachable", "gone");
const anyEvent: fc.Arbitrary<ChannelEvent> = fc.oneof(
  fc.constantFrom<ChannelEvent>(
    { type: "open" },
    { type: "joined" },
    { type: "dropped", cause },
    { type: "retry" },
    { type: "close" },
  ),
  fc
    .constantFrom("transient", "limited", "expired", "refused")
    .map((kind): ChannelEvent => ({ type: "ended", kind, cause })),
);
const run = (events: readonly ChannelEvent[]): ChannelState =>
  events.reduce(nextChannelState, { name: "idle" });

test("closed is final", () => {
  fc.assert(
    fc.property(fc.array(anyEvent), fc.array(anyEvent), (before, after) => {
      const closed = run([...before, { type: "close" }]);
      expect(after.reduce(nextChannelState, closed)).toBe(closed);
    }),
  );
});

test("a channel is online only after it joined, and every wait ends in another try", () => {
  fc.assert(
    fc.property(fc.array(anyEvent), anyEvent, (events, last) => {
      const before = run(events);
      const after = nextChannelState(before, last);
      if (after.name === "online" && before.name !== "online") expect(last.type).toBe("joined");
      if (after.name === "waiting" || after.name === "refused") {
        expect(nextChannelState(after, { type: "retry" }).name).toBe("joining");
        expect(waitMs(after, () => 0.5)).toBeLessThanOrEqual(35_000);
      }
    }),
  );
});

test("refusals in a row end the tries, a join in between starts the count anew", () => {
  const refuse: ChannelEvent = { type: "ended", kind: "refused", cause };
  const times = (count: number): ChannelEvent[] =>
    Array.from({ length: count }, () => [refuse, { type: "retry" } as const]).flat();
  expect(run([{ type: "open" }, ...times(maxRefusals - 1), refuse]).name).toBe("refused");
  expect(run([{ type: "open" }, ...times(maxRefusals - 1), { type: "joined" }, refuse]).name).toBe("waiting");
  expect(
    run([{ type: "open" }, ...times(maxRefusals - 1), { type: "ended", kind: "transient", cause }]).name,
  ).toBe("waiting");
});

test.each([
  ["Token has expired 3 seconds ago", "expired"],
  ["InvalidJWTToken: Token has expired 9 seconds ago", "expired"],
  ["Unauthorized: You do not have permissions to read from this Channel topic: x", "refused"],
  ["You do not have permissions to read from this Channel topic: x", "refused"],
  ["JwtSignatureError: Failed to validate JWT signature", "refused"],
  ["PrivateOnly: This project only allows private channels", "refused"],
  ["Client presence rate limit exceeded", "limited"],
  ["ClientJoinRateLimitReached: Too many joins per second", "limited"],
  ["Too many messages per second", "limited"],
  ["socket closed: 1006", "transient"],
  ["CLOSED", "transient"],
])("the server's words %j mean %s", (text, kind) => {
  expect(classifyReason(text)).toBe(kind);
  expect(reasonError("t", text).message).toContain(text);
});

test("after a rate limit at least five seconds pass, after an expired token hardly any", () => {
  const waiting = (kind: "limited" | "expired" | "transient"): ChannelState => ({
    name: "waiting",
    attempt: 1,
    refusals: 0,
    kind,
    cause,
  });
  expect(waitMs(waiting("limited"), () => 0)).toBeGreaterThanOrEqual(5000);
  expect(waitMs(waiting("expired"), () => 1)).toBeLessThanOrEqual(125);
});

test.each([
  [{ status: 0, code: "", message: "TypeError: fetch failed" }, "unreachable"],
  [{ status: 401, code: "", message: "Invalid API key" }, "unauthorized"],
  [{ status: 401, code: "PGRST301", message: "JWSError" }, "unauthorized"],
  [{ status: 403, code: "42501", message: "permission denied" }, "forbidden"],
  [{ status: 404, code: "PGRST202", message: "Could not find the function" }, "schema_missing"],
  [{ status: 404, code: "", message: "<html>" }, "unreachable"],
  [{ status: 409, code: "23505", message: "duplicate key" }, "conflict"],
  [{ status: 400, code: "22023", message: "expected" }, "invalid_argument"],
  [{ status: 400, code: "P0002", message: "no session" }, "not_found"],
  [{ status: 400, code: "55000", message: "already ended" }, "invalid_state"],
  [{ status: 500, code: "57014", message: "canceling statement" }, "timeout"],
  [{ status: 503, code: "PGRST003", message: "pool" }, "busy"],
  [{ status: 500, code: "XX000", message: "oops" }, "server"],
  [{ status: 429, error: "slow down" }, "busy"],
  [{ status: 502, message: { text: "bad gateway" }, code: 7 }, "unreachable"],
])("the answer %j is a federation error", (failure, code) => {
  const error = errorFromRest("call", failure as RestFailure);
  expect([error.code, error.message.startsWith("call: ")]).toEqual([code, true]);
});

test("retries go on while the failure may pass, and end in a timeout that names the last one", async () => {
  const clock = new TestClock();
  let tries = 0;
  const plan = { attempt: "call", clock, random: () => 0.5, timeoutMs: 1000 };
  const failing = retrying(async () => {
    tries++;
    throw new FederationError("unreachable", "no route");
  }, plan);
  const outcome = expect(failing).rejects.toThrow("call: not done within 1000 ms; last: no route");
  await clock.advance(1000);
  await outcome;
  expect(tries).toBeGreaterThan(2);
  const forbidden = async (): Promise<never> => {
    tries++;
    throw new FederationError("forbidden", "no");
  };
  tries = 0;
  await expect(retrying(forbidden, plan)).rejects.toThrow("no");
  expect(tries).toBe(1);
  expect(clock.pending).toBe(0);
});

// From here on a wire of our own: an HTTP and WebSocket server that says what a test wants it to.
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).toReversed()) await each.close();
});

async function serve(
  answer: (path: string, body: string) => { status: number; body: unknown },
): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { status, body } = answer(request.url ?? "", Buffer.concat(chunks).toString());
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push({
    close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

async function connect(url: string): Promise<Connection> {
  const connection = await openConnection({
    access: { url, apiKey: "sb_publishable_x", credential: { kind: "secret", secret: "s".repeat(32) } },
    actor: { tenantId: "t", agentId: "a" },
    requestTimeoutMs: 3000,
    socketHeartbeatMs: 25_000,
    clock: systemClock,
    random: () => 0,
    log: silentLog,
  });
  opened.push(connection);
  return connection;
}

test("a call names the actor, is made again after a passing failure, and its error says what the server said", async () => {
  let calls = 0;
  const { url } = await serve((path, body) => {
    if (path.includes("refuse"))
      return { status: 403, body: { code: "42501", message: "not yours", details: null, hint: null } };
    if (calls++ === 0) return { status: 503, body: { message: "starting" } };
    return { status: 200, body: { echo: JSON.parse(body) as unknown } };
  });
  const connection = await connect(url);
  expect(await connection.call("anything", { x: 1 })).toEqual({
    echo: { x: 1, as_agent: "a", as_tenant: "t" },
  });
  expect(calls).toBe(2);
  await expect(connection.call("refuse")).rejects.toMatchObject({
    code: "forbidden",
    message: expect.stringContaining("not yours"),
  });
});

test("closing ends the requests under way, and later ones are refused", async () => {
  const { url, server } = await serve(() => ({ status: 200, body: null }));
  server.removeAllListeners("request");
  const arrived = new Promise((resolve) => server.on("request", resolve)); // and never answered
  const connection = await connect(url);
  const outcome = expect(connection.call("slow")).rejects.toMatchObject({ code: "closed" });
  await arrived;
  await connection.close();
  await outcome;
  await expect(connection.call("late")).rejects.toMatchObject({ code: "closed" });
});

test("frames that are no JSON, or not of the expected shape, do not make the socket deaf", async () => {
  const { url, server } = await serve(() => ({ status: 200, body: null }));
  const sockets = new WebSocketServer({ server });
  opened.push({ close: () => sockets.clients.forEach((socket) => socket.terminate()) });
  sockets.on("connection", (socket) => {
    socket.on("message", (data: Buffer) => {
      const [joinRef, ref, topic, event] = JSON.parse(data.toString()) as [string, string, string, string];
      if (event !== "phx_join") return;
      socket.send("not json");
      socket.send(JSON.stringify([null, null, topic, "presence_state", null]));
      socket.send(JSON.stringify([null, null, topic, "broadcast", { ids: [1] }]));
      socket.send(new Uint8Array([0, 1, 2, 3]));
      socket.send(
        JSON.stringify([
          joinRef,
          ref,
          topic,
          "phx_reply",
          { status: "ok", response: { postgres_changes: [] } },
        ]),
      );
    });
  });
  const connection = await connect(url);
  const status = await new Promise((resolve) => connection.client.channel("room").subscribe(resolve));
  expect(status).toBe("SUBSCRIBED");
});
