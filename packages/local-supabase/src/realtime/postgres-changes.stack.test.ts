import type { RealtimeChannel } from "@supabase/supabase-js";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { nativeUrl } from "../../../../test-support/database.ts";
import type { Database } from "../database/database.ts";
import { closeClients, Heard, openClient, referees, subscribe } from "./testing/official-client.ts";
import { TestClock } from "./testing/test-clock.ts";
import { RawSocket } from "./testing/raw-socket.ts";
import { openRealtimeDatabase, startTestServer, type TestServer } from "./testing/test-server.ts";
import type { CanonicalFrame } from "./testing/transcript.ts";

const one = "11111111-1111-4111-8111-111111111111";
const two = "22222222-2222-4222-8222-222222222222";
const [newest] = referees.filter(({ vsn, release }) => vsn === "2.0.0" && release === "2.119.1");
// Only there can two transactions be open at once.
const onNative = test.skipIf(nativeUrl === undefined);

let database: Database;
let server: TestServer;
let names = 0;
beforeAll(async () => {
  database = await openRealtimeDatabase();
  server = await startTestServer({ database });
});
afterEach(async () => {
  await closeClients();
  await database.exec("delete from public.todos; delete from public.full_todos; delete from public.notes");
});
afterAll(async () => {
  await server.close();
  await database.close();
});

/** A change as supabase-js hands it to its listener, without what every change has. */
interface Change {
  readonly eventType: string;
  readonly table: string;
  readonly new: Readonly<Record<string, unknown>>;
  readonly old: Readonly<Record<string, unknown>>;
  readonly errors: readonly string[] | null;
}
type Wanted = Readonly<{ event?: string; schema?: string; table?: string; filter?: string }>;

interface Listener {
  readonly channel: RealtimeChannel;
  readonly changes: Heard<Change>;
  readonly system: Heard<{ readonly status: string; readonly message: string }>;
  readonly useToken: (token: string) => Promise<void>;
}

async function token(sub?: string): Promise<string> {
  return sub === undefined
    ? server.keyring.anonKey
    : await server.keyring.mint({ role: "authenticated", sub });
}

/** Subscribed, and told that rows will come. */
async function listen(
  wanted: readonly Wanted[],
  {
    referee = newest!,
    sub,
    at = server,
  }: { referee?: (typeof referees)[number]; sub?: string; at?: TestServer } = {},
): Promise<Listener> {
  const client = await openClient(at, referee, await token(sub));
  const { supabase } = client;
  const channel = supabase.channel(`rows-${names++}`);
  const changes = new Heard<Change>();
  const system: Listener["system"] = new Heard();
  for (const one of wanted)
    // The overloads of `on` want literal types.
    channel.on(
      "postgres_changes" as never,
      { event: "*", schema: "public", ...one } as never,
      (change: Change) => changes.add(change),
    );
  channel.on(
    "system" as never,
    {} as never,
    (message: { extension: string; status: string; message: string }) => {
      if (message.extension === "postgres_changes") system.add(message);
    },
  );
  expect(await subscribe(channel)).toMatchObject({ status: "SUBSCRIBED" });
  return {
    channel,
    changes,
    system,
    useToken: async (next) => {
      client.useToken(next);
      await supabase.realtime.setAuth();
    },
  };
}

async function subscribed(
  wanted: readonly Wanted[],
  options: Parameters<typeof listen>[1] = {},
): Promise<Listener> {
  const listener = await listen(wanted, options);
  expect(await listener.system.next()).toMatchObject({ status: "ok", message: "Subscribed to PostgreSQL" });
  return listener;
}

const tasks = (changes: readonly Change[]): unknown[] => changes.map((change) => change.new["task"]);
const take = async (heard: Heard<Change>, count: number): Promise<Change[]> => {
  const taken: Change[] = [];
  while (taken.length < count) taken.push(await heard.next());
  return taken;
};

describe.each(referees)("supabase-js $release on protocol $vsn", (referee) => {
  test("[98][99] inserts, updates and deletes are heard as they were committed", async () => {
    const { changes } = await subscribed([{ table: "todos" }], { referee });
    await database.exec("insert into public.todos (id, task) values (1, 'a')");
    await database.exec("update public.todos set task = 'b' where id = 1");
    await database.exec("delete from public.todos where id = 1");
    const [inserted, updated, deleted] = await take(changes, 3);
    expect(inserted).toMatchObject({
      eventType: "INSERT",
      table: "todos",
      new: { id: 1, task: "a" },
      old: {},
      errors: null,
    });
    expect(updated).toMatchObject({ eventType: "UPDATE", new: { id: 1, task: "b" }, old: { id: 1 } });
    expect(deleted).toMatchObject({ eventType: "DELETE", new: {}, old: { id: 1 } });
  });

  test("[102][114] filters, single events, and several wishes on one channel", async () => {
    const { changes } = await subscribed(
      [
        { table: "todos", event: "INSERT", filter: "task=eq.wanted" },
        { table: "full_todos", event: "DELETE" },
      ],
      { referee },
    );
    await database.exec(`
      insert into public.todos (id, task) values (1, 'other'), (2, 'wanted');
      update public.todos set task = 'wanted' where id = 1;
      insert into public.full_todos (id, task) values (3, 'whole');
      delete from public.full_todos;`);
    const heard = await take(changes, 2);
    expect(heard).toMatchObject([
      { eventType: "INSERT", new: { id: 2 } },
      { eventType: "DELETE", table: "full_todos", old: { id: 3, task: "whole" } },
    ]);
  });

  test("[109][110] rows go to whom the policies show them; a delete shows everybody the key, and nothing else", async () => {
    const own = await subscribed([{ table: "notes" }], { referee, sub: one });
    const other = await subscribed([{ table: "notes" }], { referee, sub: two });
    const stranger = await subscribed([{ table: "notes" }], { referee });
    // Policies are asked when a change is delivered, of the row as it is then.
    await database.query("insert into public.notes (id, user_id, body) values (1, $1, 'secret')", [one]);
    expect(await take(own.changes, 1)).toMatchObject([{ new: { body: "secret" } }]);
    await database.query("update public.notes set user_id = $1, body = 'moved' where id = 1", [two]);
    expect(await take(other.changes, 1)).toMatchObject([{ new: { body: "moved" } }]);
    await database.exec("delete from public.notes");
    expect(await take(own.changes, 1)).toMatchObject([{ eventType: "DELETE", old: { id: 1 } }]);
    expect(await take(other.changes, 1)).toMatchObject([{ eventType: "DELETE", old: { id: 1 } }]);
    const [deleted] = await take(stranger.changes, 1);
    expect(deleted).toMatchObject({ eventType: "DELETE", new: {}, old: { id: 1 } });
    expect(JSON.stringify(deleted)).not.toMatch(/secret|moved/);
  });
});

test("[53] after a new token the rows are those of whoever it names", async () => {
  const { changes, system, useToken } = await subscribed([{ table: "notes" }], { sub: one });
  await useToken(await token(two));
  expect(await system.next()).toMatchObject({ status: "ok", message: "Subscribed to PostgreSQL" });
  await database.query("insert into public.notes (user_id, body) values ($1, 'ones'), ($2, 'twos')", [
    one,
    two,
  ]);
  expect(await take(changes, 1)).toMatchObject([{ new: { body: "twos" } }]);
});

test("[101] what is rolled back is never heard, a transaction is heard whole and in order", async () => {
  const { changes } = await subscribed([{ table: "todos" }, { table: "full_todos" }]);
  await database
    .transaction(async (session) => {
      await session.query("insert into public.todos (task) values ('never')");
      throw new Error("changed our mind");
    })
    .catch(() => undefined);
  await database.transaction(async (session) => {
    await session.query("insert into public.todos (task) select 'many ' || g from generate_series(1, 250) g");
    await session.query("insert into public.full_todos (task) values ('between')");
    await session.query("insert into public.todos (task) values ('last')");
  });
  const heard = await take(changes, 252);
  const many = Array.from({ length: 250 }, (_, index) => `many ${index + 1}`);
  expect(tasks(heard)).toEqual([...many, "between", "last"]);
});

onNative("what commits first is heard first, whichever transaction began first", async () => {
  const { changes } = await subscribed([{ table: "todos" }]);
  await database.transaction(async (slow) => {
    await slow.query("insert into public.todos (task) values ('begun first')");
    await database.exec("insert into public.todos (task) values ('committed first')");
    // Somebody who says too early that it was committed does not make it be passed over.
    const { rows } = await slow.query("select pg_current_xact_id()::text");
    await database.query("select pg_notify('supabase_realtime_rows', $1)", [rows[0]?.[0] ?? ""]);
    expect(tasks(await take(changes, 1))).toEqual(["committed first"]);
  });
  expect(tasks(await take(changes, 1))).toEqual(["begun first"]);
});

test("what nobody wanted when it was committed is not for who comes later", async () => {
  const clock = new TestClock(Date.now());
  const own = await startTestServer({ database, clock });
  const notified = new Heard<string>();
  const stop = await database.listen("supabase_realtime_rows", (xid) => notified.add(xid));
  const holds = async (condition: string): Promise<boolean> =>
    (await database.query(`select from realtime.row_changes where ${condition}`)).rows.length > 0;
  try {
    // Another server wants such rows, so that they are captured.
    await database.exec(`insert into realtime.row_listeners
      values (gen_random_uuid(), 'public', 'todos', now() + interval '1 hour')`);
    await database.exec("insert into public.todos (task) values ('unwanted')");
    await notified.next(); // our server listens longer, and has heard it
    const { changes } = await subscribed([{ table: "todos" }], { at: own });
    await expect
      .poll(() => holds("table_name = 'todos' and captured_at > now() - interval '2 seconds'"), {
        timeout: 10_000,
      })
      .toBe(false);
    await database.exec(`insert into realtime.row_changes (xid, relation, schema_name, table_name, action, captured_at)
      values ('1', 0, 'public', 'none', 'INSERT', now() - interval '1 hour')`);
    clock.advance(10_000); // it looks for what it may have missed, and removes what is old
    await expect.poll(() => holds("xid = '1'")).toBe(false);
    await database.exec("insert into public.todos (task) values ('wanted')");
    expect(tasks(await take(changes, 1))).toEqual(["wanted"]);
  } finally {
    await stop();
    await own.close();
    await database.exec("delete from realtime.row_listeners");
  }
});

test("two servers on one database both hear, and the end of one does not end the other", async () => {
  const second = await startTestServer({ database });
  try {
    const here = await subscribed([{ table: "todos" }]);
    const there = await subscribed([{ table: "todos" }], { at: second });
    await database.exec("insert into public.todos (task) values ('for both')");
    expect(tasks(await take(here.changes, 1))).toEqual(["for both"]);
    expect(tasks(await take(there.changes, 1))).toEqual(["for both"]);
    await second.close();
    await database.exec("insert into public.todos (task) values ('for one')");
    expect(tasks(await take(here.changes, 1))).toEqual(["for one"]);
  } finally {
    await second.close();
  }
});

test("[114] tables come into the publication and leave it while a channel listens to all", async () => {
  const { changes } = await subscribed([{ table: "*" }]);
  const name = `made_${names++}`;
  await database.exec(`create table public.${name} (id int primary key); grant select on public.${name} to anon;
    alter publication supabase_realtime add table public.${name};`);
  await database.exec(`insert into public.${name} values (1)`);
  expect(await take(changes, 1)).toMatchObject([{ table: name, new: { id: 1 } }]);
  await database.exec(`alter publication supabase_realtime drop table public.${name}`);
  await database.exec(
    `insert into public.${name} values (2); insert into public.todos (task) values ('after')`,
  );
  expect(tasks(await take(changes, 1))).toEqual(["after"]);
  await database.exec(`drop table public.${name}`);
});

test("[106][107] a wish that cannot be is told, the channel goes on, and nothing else of it is heard", async () => {
  const { channel, changes, system } = await listen([{ table: "todos" }, { table: "not_published" }]);
  expect(await system.next()).toMatchObject({
    status: "error",
    message: expect.stringContaining("not_published") as string,
  });
  await database.exec("insert into public.todos (task) values ('unheard')");
  expect(await channel.send({ type: "broadcast", event: "e", payload: {} })).toBe("ok");
  expect(changes.rest()).toEqual([]);
});

test("[111] without the right to select, that something changed is all that is heard", async () => {
  const { changes } = await subscribed([{ table: "secret" }]);
  await database.exec("insert into public.secret values (1, 'hidden')");
  const [change] = await take(changes, 1);
  expect(change).toMatchObject({ errors: ["Error 401: Unauthorized"], new: {} });
  await database.exec("delete from public.secret");
});

test("[113] a vector comes as Postgres writes it, and so does a whole number of any length", async () => {
  const name = `made_${names++}`;
  await database.exec(`create extension if not exists vector with schema extensions;
    create table public.${name} (id int8 primary key, embedding extensions.vector(3));
    grant select on public.${name} to anon; alter publication supabase_realtime add table public.${name};`);
  const socket = new RawSocket(
    `${server.url}/realtime/v1/websocket?apikey=${server.keyring.anonKey}&vsn=2.0.0`,
  );
  await socket.opened;
  const config = {
    postgres_changes: [{ schema: "public", table: name }],
    postgres_changes_options: { wait: true },
  };
  socket.send(JSON.stringify(["1", "1", "realtime:vectors", "phx_join", { config }]));
  await socket.take(({ event }) => event === "system");
  await database.exec(`insert into public.${name} values (9007199254740993, '[1,2.5,-3]')`);
  await expect
    .poll(() => socket.received.map(String).join())
    .toContain('"record":{"id":9007199254740993,"embedding":"[1,2.5,-3]"}');
  await socket.close();
  await database.exec(`drop table public.${name}`);
});

test("[112] of a row that is too large the small columns are heard", async () => {
  const { changes } = await subscribed([{ table: "types_demo" }]);
  await database.exec("insert into public.types_demo (id, t, v) values (1, repeat('x', 1100000), 'small')");
  const [change] = await take(changes, 1);
  expect(change).toMatchObject({ errors: ["Error 413: Payload Too Large"], new: { id: 1, v: "small" } });
  expect(change?.new).not.toHaveProperty("t");
  await database.exec("delete from public.types_demo");
});

test("nobody listens, nothing is captured; a write that cannot be captured is written all the same", async () => {
  const kept = async (): Promise<string | null | undefined> =>
    (await database.query("select count(*) from realtime.row_changes")).rows[0]?.[0];
  const { channel, changes } = await subscribed([{ table: "todos" }]);
  await database.exec("insert into public.todos (task) values ('heard')");
  await take(changes, 1);
  await channel.unsubscribe();
  // The list of listeners is brought up to date behind the answer.
  await expect
    .poll(async () => (await database.query("select from realtime.row_listeners")).rows.length)
    .toBe(0);
  const before = await kept();
  await database.exec("insert into public.todos (task) values ('unheard')");
  expect(await kept()).toBe(before);
});

test("anon and authenticated can neither read nor write what is captured", async () => {
  for (const role of ["anon", "authenticated"])
    for (const statement of [
      "select * from realtime.row_changes",
      "insert into realtime.row_listeners values (gen_random_uuid(), '*', '*', now() + interval '1 day')",
      "select realtime.ask_as('postgres', '{}', 'select 1', null, null)",
      "select realtime.follow_publication()",
    ]) {
      const asRole = database.transaction(async (session) => {
        await session.query("select set_config('role', $1, true)", [role]);
        await session.query(statement);
      });
      await expect(asRole, `${role}: ${statement}`).rejects.toMatchObject({ code: "42501" });
    }
});

describe("[117] a join that waits for its rows", () => {
  const join = async (config: object): Promise<{ socket: RawSocket; reply: CanonicalFrame | undefined }> => {
    const socket = new RawSocket(
      `${server.url}/realtime/v1/websocket?apikey=${server.keyring.anonKey}&vsn=2.0.0`,
    );
    await socket.opened;
    socket.send(JSON.stringify(["1", "1", "realtime:waits", "phx_join", { config }]));
    return { socket, reply: await socket.take(({ event }) => event === "phx_reply") };
  };
  const options = { postgres_changes_options: { wait: true } };

  test("is answered when they are sure to come", async () => {
    const { socket, reply } = await join({
      postgres_changes: [{ schema: "public", table: "todos" }],
      ...options,
    });
    expect(reply).toMatchObject({ payload: { status: "ok" } });
    await database.exec("insert into public.todos (task) values ('sure')");
    const frame = await socket.take(({ event }) => event === "postgres_changes");
    expect(frame).toMatchObject({ payload: { data: { record: { task: "sure" } } } });
    await socket.close();
  });

  test("is refused with the reason where they will not", async () => {
    const { socket, reply } = await join({
      postgres_changes: [{ schema: "public", table: "nowhere" }],
      ...options,
    });
    expect(reply).toMatchObject({
      payload: {
        status: "error",
        response: { reason: expect.stringMatching(/^RealtimeDisabledForConfiguration: .*nowhere/) as string },
      },
    });
    await socket.close();
  });
});
