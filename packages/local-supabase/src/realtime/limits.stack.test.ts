import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../database/database.ts";
import { startLocalSupabase } from "../start-local-supabase.ts";
import { closeClients, Heard, openClient, referees, subscribe } from "./testing/official-client.ts";
import { RawSocket } from "./testing/raw-socket.ts";
import { TestClock } from "./testing/test-clock.ts";
import { openRealtimeDatabase, startTestServer, type TestServer } from "./testing/test-server.ts";

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openRealtimeDatabase();
  server = await startTestServer({ database, settings: { limits: { channelsPerConnection: 1 } } });
});
afterEach(closeClients);
afterAll(async () => {
  await server.close();
  await database.close();
});

describe.each(referees)("supabase-js $release on protocol $vsn", (referee) => {
  const open = async (): ReturnType<typeof openClient> =>
    await openClient(server, referee, await server.keyring.mint({ role: "authenticated", sub: "1" }));

  test("[123] a private channel hears what was stored before it was there, once and in order", async () => {
    const topic = `room:replay-${referee.release}-${referee.vsn}`;
    const since = Date.now() - 60_000;
    await database.query(
      "select realtime.send(jsonb_build_object('n', n), 'e', $1) from generate_series(1, 3) n",
      [topic],
    );
    await database.query("select realtime.send('{\"n\": 0}', 'e', $1 || '-other')", [topic]);
    const { supabase } = await open();
    const broadcast = { replay: { since, limit: 2 } };
    const channel = supabase.channel(topic, { config: { private: true, broadcast } });
    const heard = new Heard<{ payload?: { n?: number }; meta?: { replayed?: boolean } }>();
    channel.on("broadcast", { event: "*" }, (message) => heard.add(message as never)); // the shape that the library documents
    await subscribe(channel);
    await database.query("select realtime.send('{\"n\": 4}', 'e', $1)", [topic]);
    const all = [await heard.next(), await heard.next(), await heard.next()];
    expect(all.map(({ payload, meta }) => [payload?.n, meta?.replayed])).toEqual([
      [2, true],
      [3, true],
      [4, undefined],
    ]);
  });

  test("who may not read a topic is replayed nothing of it", async () => {
    const { supabase } = await open();
    const channel = supabase.channel("user:somebody-else", {
      config: { private: true, broadcast: { replay: { since: 0 } } },
    });
    expect((await subscribe(channel)).reason).toContain("You do not have permissions to read");
  });

  test("[36] one channel too many is refused, and the socket goes on", async () => {
    const { supabase } = await open();
    expect((await subscribe(supabase.channel("first"))).status).toBe("SUBSCRIBED");
    expect((await subscribe(supabase.channel("second"))).reason).toContain("ChannelRateLimitReached");
  });
});

test("rows over the rate of messages are left out, nobody is told, and the channel goes on", async () => {
  const clock = new TestClock(Date.now());
  const limited = await startTestServer({ database, clock, settings: { limits: { messagesPerSecond: 5 } } });
  const insert = (): Promise<void> =>
    database.exec("insert into public.todos (task) select g::text from generate_series(1, 100) g");
  const socket = new RawSocket(
    `${limited.url}/realtime/v1/websocket?apikey=${limited.keyring.anonKey}&vsn=2.0.0`,
  );
  try {
    await socket.opened;
    const config = { postgres_changes: [{ event: "INSERT", schema: "public", table: "todos" }] };
    socket.send(JSON.stringify(["1", "1", "realtime:limited", "phx_join", { config }]));
    await socket.take(({ event }) => event === "system");
    await insert(); // the rate is that of whole ticks that have ended
    for (let row = 0; row < 100; row++) await socket.take(({ event }) => event === "postgres_changes");
    clock.advance(5_000);
    await insert();
    await expect
      .poll(() => limited.realtime.metrics())
      .toMatch(/realtime_drops_total\{kind="row_change"\} 100/);
    await socket.settle("phoenix", "2.0.0");
    expect(socket.received.filter((frame) => !String(frame).includes("phx_reply"))).toEqual([]);
  } finally {
    await socket.close();
    await limited.close();
    await database.exec("delete from public.todos");
  }
});

test("[10][81] a stack takes limits as an option, and answers a preflight of its Realtime endpoints", async () => {
  const supabase = await startLocalSupabase({
    port: 0,
    host: "0.0.0.0",
    limits: { connections: 1 },
    privateOnly: true,
  });
  try {
    const url = `${supabase.url}/realtime/v1/websocket?apikey=${supabase.anonKey}&vsn=2.0.0`;
    const first = new RawSocket(url);
    await first.opened;
    first.send('["1","1","realtime:a","phx_join",{"config":{"private":true}}]');
    const reply = await first.take(({ event }) => event === "phx_reply");
    expect(JSON.stringify(reply)).toContain("Unauthorized");
    expect(await new RawSocket(url).opened).toMatchObject({
      status: 429,
      body: '{"error":"Too many connected users"}',
    });
    // Beyond this machine, metrics are for the service role alone.
    const ask = (headers: Record<string, string>): Promise<Response> =>
      fetch(`${supabase.url}/metrics`, { headers });
    for (const headers of [{}, { apikey: supabase.anonKey }]) expect((await ask(headers)).status).toBe(401);
    expect((await ask({ apikey: supabase.secretKey })).status).toBe(200);
    const metrics = await (await ask({ authorization: `Bearer ${supabase.serviceRoleKey}` })).text();
    expect(metrics).toContain("realtime_sockets 1\n");
    expect(metrics).toContain('realtime_joins_total{answer="error"} 1\n');
    expect(metrics).not.toContain("realtime:a");
    expect(await (await fetch(`${supabase.url}/health`)).json()).toEqual({
      status: "ok",
      database: "ok",
      rest: "ok",
      realtime: "ok",
    });
    await first.close();
    const preflight = await fetch(`${supabase.url}/realtime/v1/api/broadcast`, {
      method: "OPTIONS",
      headers: { origin: "http://a.test", "access-control-request-headers": "apikey,authorization" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("apikey,authorization");
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
  } finally {
    await supabase.close();
  }
  await expect(startLocalSupabase({ port: 0, limits: { connections: 0 } })).rejects.toMatchObject({
    code: "option",
  });
});
