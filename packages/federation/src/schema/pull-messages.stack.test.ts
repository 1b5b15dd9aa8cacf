import { afterAll, beforeAll, expect, test } from "vitest";
import { nativeUrl } from "../../../../test-support/database.ts";
import {
  agent,
  as,
  call,
  newTenant,
  openFederationDatabase,
  rpc,
  service,
  type Caller,
} from "../../../../test-support/sql-roles.ts";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import { Inbox } from "../messaging/inbox.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import { settled } from "./testing/settled.ts";

// The embedded database has one connection: nothing happens at once there.
const onNative = test.skipIf(nativeUrl === undefined);

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Page {
  readonly rows: readonly { readonly id: string }[];
  readonly cursor: string;
  readonly done: boolean;
  readonly held_back: boolean;
  readonly reset: boolean;
}
type Args = Record<string, string | number | object | null>;
const note = { type: "note", payload: { text: "hello" } };
const say = (id: string, to_agent: string | null = null): Args => ({ id, to_agent, ...note });
const pull = (reader: Caller, args: Args = {}): Promise<Page> =>
  call<Page>(database, reader, "pull_messages", args);
const idsOf = ({ rows }: Page): string[] => rows.map(({ id }) => id);

interface Reader {
  readonly inbox: Inbox;
  readonly told: string[];
  /** Reads what was missed, up to what is held back now. */
  reads(): Promise<void>;
  /** Resolves once `id` was told. */
  hears(id: string): Promise<void>;
}

/** What a hub reads with, on this database; nothing is announced to it. */
async function openReader(tenant: string, name: string): Promise<Reader> {
  const told: string[] = [];
  const waiting = new Map<string, () => void>();
  let answered = (): void => {};
  const none = async (): Promise<never[]> => [];
  const inbox = new Inbox({
    agentId: name,
    clock: systemClock,
    log: silentLog,
    isMyTurn: () => true,
    pull: none,
    mark: none,
    count: none,
    undo: none,
    fail: none,
    giveUp: none,
    limits: { maxDeliveries: 5, giveUpMs: 60_000 },
    pullMissed: async (box, cursor) => {
      const page = await pull(agent(tenant, name), { box, cursor });
      answered();
      return page;
    },
    keepPlace: (cursor) => call(database, agent(tenant, name), "feed_place", { cursor }),
    startFeed: async () => 1,
    random: () => 0,
    readOne: (id) => call(database, agent(tenant, name), "get_message", { id }),
    hasListener: () => true,
    deliver: ({ id }) => {
      told.push(id);
      waiting.get(id)?.();
      const done = { listeners: 1, finished: Promise.resolve([]) };
      return { ...done, again: () => ({ ...done, again: () => done as never }) };
    },
  });
  await inbox.begin();
  inbox.release();
  return {
    inbox,
    told,
    reads: () =>
      new Promise((resolve) => {
        answered = resolve;
        inbox.pullFeed();
      }),
    hears: (id) =>
      told.includes(id) ? Promise.resolve() : new Promise((resolve) => waiting.set(id, resolve)),
  };
}

function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** Sends `first` and, once `commit()` is called, has it committed. */
async function sendSlowly(sender: Caller, first: Args): Promise<{ readonly commit: () => Promise<unknown> }> {
  const [written, released] = [gate(), gate()];
  const sending = as(database, sender, async (session) => {
    await rpc(session, "send_message", first);
    written.open();
    await released.opened;
  });
  await written.opened;
  return {
    commit: () => {
      released.open();
      return sending;
    },
  };
}

test("what is stored for everybody is read in pages from the moment on at which the reader came", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await call(database, alice, "send_message", say("before"));
  const { cursor } = await pull(bob);
  for (const id of ["1", "2", "3"]) await call(database, alice, "send_message", say(id));
  await call(database, alice, "send_message", say("direct", "bob"));
  await call(database, alice, "send_message", { ...say("late"), expires_at: "2020-01-01T00:00:00Z" });
  await settled(database);
  const first = await pull(bob, { cursor, max_rows: 2 });
  expect(first).toMatchObject({ done: false, reset: false });
  const second = await pull(bob, { cursor: first.cursor, max_rows: 2 });
  expect(second).toMatchObject({ done: true, held_back: false });
  expect([idsOf(first), idsOf(second)]).toEqual([["1", "2"], ["3"]]);
  expect(idsOf(await pull(bob, { cursor: second.cursor }))).toEqual([]);
  expect(idsOf(await pull(bob, { cursor, box: "inbox" }))).toEqual(["direct"]);
  expect(idsOf(await pull(bob, { cursor, max_bytes: 1 }))).toEqual(["1"]);
  expect(idsOf(await pull(agent(tenant, "carol"), { cursor, box: "inbox" }))).toEqual([]);
  await expect(pull(bob, { cursor, box: "outbox" })).rejects.toMatchObject({
    code: "22023",
    message: "box: expected feed or inbox, got 'outbox'",
  });
});

test("a reader of another tenant finds nothing, from the beginning either", async () => {
  const tenant = newTenant();
  await call(database, agent(tenant, "alice"), "send_message", say("1"));
  await call(database, agent(tenant, "alice"), "send_message", say("2", "bob"));
  await settled(database);
  const { cursor } = await pull(agent(tenant, "bob"), { cursor: "none" });
  for (const [box, found] of [
    ["feed", ["1"]],
    ["inbox", ["2"]],
  ] as const) {
    expect(idsOf(await pull(agent(tenant, "bob"), { cursor, box }))).toEqual(found);
    expect(idsOf(await pull(agent(newTenant(), "bob"), { cursor, box }))).toEqual([]);
    expect(idsOf(await pull(service, { cursor, box, as_tenant: newTenant(), as_agent: "bob" }))).toEqual([]);
  }
});

test.each([["none"], ["0123456789abcdef0123456789abcdef:0:0"]])(
  "the cursor %s means that everything is read again",
  async (cursor) => {
    const bob = agent(newTenant(), "bob");
    expect(await pull(bob, { cursor })).toMatchObject({ rows: [], done: false, reset: true });
  },
);

test("a cursor ahead of the database means that everything is read again", async () => {
  const bob = agent(newTenant(), "bob");
  const { cursor } = await pull(bob);
  const ahead = cursor.replace(/:.*/, ":999999999999999999:0");
  expect(await pull(bob, { cursor: ahead })).toMatchObject({ rows: [], done: false, reset: true });
});

test("after new_epoch() what was stored meanwhile is told, and what was told is not told twice", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await call(database, alice, "send_message", say("before"));
  const reader = await openReader(tenant, "bob");
  await call(database, alice, "send_message", say("1"));
  reader.inbox.pullFeed();
  await reader.hears("1");
  await call(database, alice, "send_message", say("2"));
  await call(database, service, "new_epoch");
  await call(database, alice, "send_message", say("3"));
  reader.inbox.pullFeed();
  await reader.hears("3");
  await call(database, alice, "send_message", say("4"));
  reader.inbox.pullFeed();
  await reader.hears("4");
  expect(reader.told).toEqual(["1", "2", "3", "4"]);
  await reader.inbox.close();
});

onNative("a broadcast that commits after six hundred younger ones were read is told", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const reader = await openReader(tenant, "bob");
  const slow = await sendSlowly(alice, say("slow"));
  await database.query(
    `insert into public.agent_messages (tenant_id, id, from_agent, type, payload)
     select $1, 'fast-' || n, 'carol', 'note', '1' from generate_series(1, 600) n`,
    [tenant],
  );
  // Live, as the feed brings them, and read, as after a reconnect.
  const { rows } = await database.query(
    "select federation.message_json(m)::text from public.agent_messages m where tenant_id = $1 and id like 'fast-%' order by seq",
    [tenant],
  );
  for (const [message] of rows)
    reader.inbox.heardBroadcast({ message: JSON.parse(message ?? "") as unknown });
  expect(reader.told).toHaveLength(600);
  const { held_back } = await pull(agent(tenant, "bob"), {
    cursor: (await pull(agent(tenant, "bob"))).cursor,
  });
  expect(held_back).toBe(false); // whoever comes now has nothing to wait for
  await reader.reads();
  await slow.commit();
  await reader.hears("slow");
  expect(new Set(reader.told).size).toBe(601);
  expect(reader.told).toHaveLength(601);
  await reader.inbox.close();
});

onNative(
  "what was committed before a reader came is not told, though an open transaction holds it back",
  async () => {
    const tenant = newTenant();
    const alice = agent(tenant, "alice");
    const slow = await sendSlowly(alice, say("slow"));
    await call(database, alice, "send_message", say("before"));
    const reader = await openReader(tenant, "bob");
    await call(database, alice, "send_message", say("after"));
    const { cursor } = await pull(agent(tenant, "bob"));
    await call(database, alice, "send_message", say("held"));
    expect(await pull(agent(tenant, "bob"), { cursor })).toMatchObject({ rows: [], held_back: true });
    reader.inbox.pullFeed();
    await slow.commit();
    await reader.hears("held");
    expect(reader.told).toEqual(["slow", "after", "held"]);
    await reader.inbox.close();
  },
);
