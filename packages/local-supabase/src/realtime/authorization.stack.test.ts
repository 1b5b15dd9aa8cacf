import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../database/database.ts";
import { isReply, join, openRaw, push } from "./testing/raw-channel.ts";
import { RawSocket } from "./testing/raw-socket.ts";
import { TestClock } from "./testing/test-clock.ts";
import { openRealtimeDatabase, startTestServer, type TestServer } from "./testing/test-server.ts";

const user = "11111111-1111-4111-8111-111111111111";
const ok = { status: "ok", response: { postgres_changes: [] } };
const refused = (subTopic: string): object => ({
  status: "error",
  response: {
    reason: `Unauthorized: You do not have permissions to read from this Channel topic: ${subTopic}`,
  },
});

let database: Database;
let server: TestServer;
let clock: TestClock;
const open: RawSocket[] = [];
beforeAll(async () => {
  database = await openRealtimeDatabase();
  await database.exec(`
    create table public.members (who text primary key);
    grant select on public.members to authenticated;
    create policy by_membership on realtime.messages for select to authenticated
      using (realtime.topic() = 'club' and exists (select from public.members where who = auth.jwt() ->> 'sub'));
    create policy by_membership_write on realtime.messages for insert to authenticated
      with check (realtime.topic() = 'club' and exists (select from public.members where who = auth.jwt() ->> 'sub'));
    create policy by_claim on realtime.messages for select to authenticated
      using (realtime.topic() = 'claims' and auth.jwt() -> 'app_metadata' ->> 'team' = 'red' and topic = 'claims'
        and auth.role() = 'authenticated' and auth.uid()::text = auth.jwt() ->> 'sub');
    create policy by_header on realtime.messages for select to authenticated
      using (realtime.topic() = 'headers' and current_setting('request.headers')::json ->> 'x-team' = 'red'
        and current_setting('request.headers')::json ->> 'host' is null);
    create policy raising on realtime.messages for select to authenticated
      using (case when realtime.topic() = 'raises' then 1 / (length(topic) - 6) > 0 else false end);
    create policy raising_write on realtime.messages for insert to authenticated
      with check (case when realtime.topic() like 'room:raises%' then 1 / (length(topic) - length(topic)) > 0 else false end);
  `);
  clock = new TestClock(Date.now());
  server = await startTestServer({ database, clock });
});
afterEach(() => Promise.all(open.splice(0).map((socket) => socket.close())));
afterAll(async () => {
  await server.close();
  await database.close();
});

async function connect(claims: object = {}): Promise<RawSocket> {
  const socket = await openRaw(server, await server.keyring.mint({ sub: user, ...claims }));
  open.push(socket);
  return socket;
}

describe("private channels", () => {
  test("[126] policies see the topic, the claims and the role", async () => {
    const red = await connect({ app_metadata: { team: "red" } });
    const blue = await connect({ app_metadata: { team: "blue" } });
    expect(await join(red, "realtime:claims", { private: true })).toEqual(ok);
    expect(await join(blue, "realtime:claims", { private: true })).toEqual(refused("claims"));
  });

  test("[126] policies see the x- headers of the socket and no others", async () => {
    const token = await server.keyring.mint({ sub: user });
    const socket = new RawSocket(`${server.url}/realtime/v1/websocket?apikey=${token}&vsn=2.0.0`, {
      "x-team": "red",
    });
    open.push(socket);
    await socket.opened;
    expect(await join(socket, "realtime:headers", { private: true })).toEqual(ok);
    expect(await join(await connect(), "realtime:headers", { private: true })).toEqual(refused("headers"));
  });

  test("[127] a right that is gone is gone after a rejoin or a new token", async () => {
    await database.query("insert into public.members values ($1)", [user]);
    const socket = await connect();
    expect(await join(socket, "realtime:club", { private: true, broadcast: { ack: true } })).toEqual(ok);
    push(socket, "realtime:club", "broadcast", { event: "e" }, "2");
    expect(await socket.take(isReply("2"))).toMatchObject({ payload: { status: "ok" } });
    await database.query("delete from public.members");
    push(socket, "realtime:club", "broadcast", { event: "e" }, "3");
    expect(await socket.take(isReply("3"))).toMatchObject({ payload: { status: "ok" } });
    push(socket, "realtime:club", "access_token", {
      access_token: await server.keyring.mint({ sub: user, n: 1 }),
    });
    expect(await socket.take(({ event }) => event === "system")).toMatchObject({
      payload: { message: "You do not have permissions to read from this Channel topic: club" },
    });
    expect(await socket.take(({ event }) => event === "phx_close")).toBeDefined();
    expect(await join(socket, "realtime:club", { private: true })).toEqual(refused("club"));
  });

  test("what a client said before its socket closed is heard, also behind what waits for a policy", async () => {
    const [speaker, listener] = [await connect({ sub: "speaker" }), await connect({ sub: "listener" })];
    await database.exec("insert into public.members values ('speaker'), ('listener') on conflict do nothing");
    for (const socket of [speaker, listener])
      expect(await join(socket, "realtime:club", { private: true })).toEqual(ok);
    // Whoever asks whether the speaker may write waits for this table.
    await database.transaction(async (session) => {
      await session.query("lock table public.members in access exclusive mode");
      for (const n of [1, 2, 3])
        push(speaker, "realtime:club", "broadcast", { type: "broadcast", event: "note", payload: { n } });
      await speaker.close();
      while (!/_sockets 1$/m.test(server.realtime.metrics())) await listener.settle("phoenix", "2.0.0");
    });
    const heard: unknown[] = [];
    while (heard.length < 3) {
      const frame = await listener.take(({ event }) => event === "broadcast");
      if (frame === undefined) throw new Error("the listener's socket closed");
      heard.push((frame["payload"] as { payload: unknown }).payload); // as it was sent
    }
    expect(heard).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  test("[128] a policy that raises is a refusal, and the socket lives on", async () => {
    const socket = await connect();
    expect(await join(socket, "realtime:raises", { private: true })).toEqual(refused("raises"));
    expect(await join(socket, "realtime:room:raises", { private: true, broadcast: { ack: true } })).toEqual(
      ok,
    );
    push(socket, "realtime:room:raises", "broadcast", { event: "e" }, "2");
    expect(await socket.take(isReply("2"))).toMatchObject({
      payload: { response: { error: "rls_policy_error" } },
    });
    expect(await join(socket, "realtime:room:other", { private: true })).toEqual(ok);
  });

  test("[125] to read one kind is enough where it is wanted", async () => {
    const socket = await connect();
    const presence = { enabled: true };
    expect(await join(socket, "realtime:bonly:1", { private: true })).toEqual(ok);
    expect(await join(socket, "realtime:ponly:1", { private: true })).toEqual(refused("ponly:1"));
    expect(await join(socket, "realtime:ponly:1", { private: true, presence })).toEqual(ok);
    expect(await join(socket, "realtime:none:1", { private: true, presence })).toEqual(refused("none:1"));
  });

  test.each(["postgres", "supabase_admin", "authenticator", "no_such_role"])(
    "a token that names the role %s reads nothing",
    async (role) => {
      const socket = await connect({ role });
      expect(await join(socket, "realtime:room:role", { private: true })).toEqual(refused("room:role"));
      expect(await join(socket, "realtime:role")).toEqual(ok); // public channels ask no policy
    },
  );

  test.each(["a\u0000b", "room:'; drop table public.members; --", "room:%", 'room:"', "room:\\"])(
    "the topic %j is only a text",
    async (subTopic) => {
      const socket = await connect();
      const reply = await join(socket, `realtime:${subTopic}`, { private: true });
      expect(reply).toEqual(subTopic.startsWith("room:") ? ok : refused(subTopic));
      await database.query("select from public.members");
    },
  );

  test("[121] a role that may not write broadcasts nothing from the database, and its statement succeeds", async () => {
    const socket = await connect();
    expect(await join(socket, "realtime:ro:database", { private: true })).toEqual(ok);
    await database.transaction(async (session) => {
      await session.query(
        "select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)",
        [JSON.stringify({ sub: user, role: "authenticated" })],
      );
      await session.query("select realtime.send('{}', 'denied', 'ro:database')");
    });
    await database.query("select realtime.send('{}', 'allowed', 'ro:database')");
    expect(await socket.take(() => true)).toMatchObject({ userEvent: "allowed" });
  });

  test("a check leaves nothing behind: no rows, no messages, no settings", async () => {
    const socket = await connect();
    await join(socket, "realtime:room:traces", { private: true, broadcast: { ack: true, self: true } });
    push(socket, "realtime:room:traces", "broadcast", { event: "only" }, "2");
    await socket.take(isReply("2"));
    const { rows } = await database.query(
      "select (select count(*) from realtime.messages where topic = 'room:traces'), current_user, current_setting('request.jwt.claims', true)",
    );
    expect(rows[0]?.[0]).toBe("0");
    expect(rows[0]?.[1]).not.toBe("authenticated");
    expect(rows[0]?.[2] ?? "").toBe("");
  });
});

describe("tokens", () => {
  test("[54] of changes that come within 10 s the first is applied at once and the last at the end", async () => {
    await database.query("insert into public.members values ('other') on conflict do nothing");
    const socket = await connect();
    const token = (n: number, sub = user): Promise<string> => server.keyring.mint({ sub, n });
    expect(await join(socket, "realtime:room:throttle", { private: true })).toEqual(ok);
    push(socket, "realtime:room:throttle", "access_token", { access_token: await token(1) });
    await socket.settle("realtime:room:throttle", "2.0.0");
    push(socket, "realtime:room:throttle", "access_token", { access_token: await token(2) });
    push(socket, "realtime:room:throttle", "access_token", { access_token: "garbage" });
    await socket.settle("realtime:room:throttle", "2.0.0");
    expect(socket.received).toEqual([]);
    clock.advance(10_000);
    expect(await socket.take(() => true)).toMatchObject({
      event: "system",
      payload: { message: "The token provided is not a valid JWT" },
    });
    expect(await socket.take(() => true)).toMatchObject({ event: "phx_close" });
  });

  test("a token that waits is used when the old one ends", async () => {
    const socket = await connect();
    const seconds = Math.floor(clock.now() / 1000);
    const token = (n: number, exp: number): Promise<string> =>
      server.keyring.mint({ sub: user, n, exp: seconds + exp });
    expect(await join(socket, "realtime:room:ending", { private: true })).toEqual(ok);
    push(socket, "realtime:room:ending", "access_token", { access_token: await token(1, 5) });
    await socket.settle("realtime:room:ending", "2.0.0");
    push(socket, "realtime:room:ending", "access_token", { access_token: await token(2, 3600) });
    await socket.settle("realtime:room:ending", "2.0.0");
    clock.advance(6000);
    await socket.settle("realtime:room:ending", "2.0.0");
    expect(socket.received).toEqual([]);
  });

  test("a token that ends in years is not taken for one that ended", async () => {
    const socket = await openRaw(server, await server.keyring.mint({ sub: user, exp: 4_000_000_000 }));
    open.push(socket);
    expect(await join(socket, "realtime:long")).toEqual(ok);
    clock.advance(7_200_000);
    const again = await openRaw(server);
    open.push(again);
    expect(await join(again, "realtime:long")).toEqual(ok);
  });
});
