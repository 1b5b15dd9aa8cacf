import { afterEach, expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { MemoryFeed } from "./memory-feed.ts";
import { cursorOfNow } from "./memory-pull.ts";
import { parsePulledPage } from "./pulled-page.ts";

interface Row {
  readonly id: string;
  readonly seq: number;
  readonly version: number;
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly content: string | null;
  readonly updated_at: string;
  readonly deleted_at: string | null;
}

/** Memories as the database has them: the latest state of each, in the order of change. */
class Server {
  readonly rows = new Map<string, Row>();
  epoch = "e1";
  nowMs = 1_700_000_000_000;
  seq = 0;
  asked: (string | null)[] = [];
  failures = 0;
  /** Whether a transaction is open that all is behind. */
  isHeldBack = false;
  pageRows = 2;
  place: { cursor: string | null; kept_at: string | null } = { cursor: null, kept_at: null };
  kept: string[] = [];

  keep(cursor: string | null): unknown {
    if (cursor === null) return this.place;
    if (this.failures-- > 0) throw new FederationError("unreachable", "no network");
    this.kept.push(cursor);
    return (this.place = { cursor, kept_at: new Date(this.nowMs).toISOString() });
  }

  write(id: string, content: string | null): Row {
    const held = this.rows.get(id);
    const at = new Date(this.nowMs).toISOString();
    const row = {
      id,
      seq: ++this.seq,
      version: (held?.version ?? 0) + 1,
      tenant_id: "t",
      agent_id: "ann",
      content,
      updated_at: at,
      deleted_at: content === null ? at : null,
    };
    this.rows.delete(id);
    this.rows.set(id, row);
    return row;
  }

  pull(cursor: string | null): unknown {
    this.asked.push(cursor);
    if (this.failures-- > 0) throw new FederationError("unreachable", "no network");
    const server_time = new Date(this.nowMs).toISOString();
    const [epoch, after = "0"] = (cursor ?? `${this.epoch}:0:0`).split(":");
    if (epoch !== this.epoch)
      return { rows: [], cursor: `${this.epoch}:0:0:${this.seq}`, done: false, reset: true, server_time };
    const later = [...this.rows.values()].filter((row) => row.seq > Number(after));
    if (this.isHeldBack) return { rows: [], cursor, done: true, held_back: true, reset: false, server_time };
    const rows = later.slice(0, this.pageRows);
    const done = rows.length === later.length;
    const last = done ? this.seq : rows.at(-1)?.seq;
    return { rows, cursor: `${this.epoch}:${last}:0`, done, reset: false, server_time };
  }
}

const feeds: MemoryFeed[] = [];
afterEach(() => Promise.all(feeds.splice(0).map((feed) => feed.close())));

function open(server = new Server()) {
  const clock = new TestClock();
  const told: string[] = [];
  const errors: Error[] = [];
  const feed = new MemoryFeed({
    agentId: "ann",
    tenantId: "t",
    clock,
    log: silentLog,
    readMemory: async (id) => server.rows.get(id),
    pullMemories: async (cursor) => server.pull(cursor),
    keepPlace: async (cursor) => server.keep(cursor),
    tell: ({ type, id, content }) => told.push(`${type.slice(7)} ${id} ${content}`),
    onError: (error) => errors.push(error),
  });
  feeds.push(feed);
  const announce = (row: Row): void =>
    feed.heard({
      op: row.version === 1 ? "added" : row.content === null ? "deleted" : "updated",
      memories: [row],
    });
  return { server, clock, feed, told, errors, announce, quiet: () => clock.advance(0) };
}

test("what was there when the hub began is not told, and none of it is read", async () => {
  const { server, feed, told, quiet } = open();
  for (const id of ["a", "b", "c"]) server.write(id, id);
  feed.pull();
  await quiet();
  expect(told).toEqual([]);
  expect(server.asked).toEqual(["now", "e1:3:0"]);
});

test("what is announced is told at once, and not again when it is read; what was missed comes in the server's order", async () => {
  const { server, feed, told, announce, quiet } = open();
  feed.pull();
  await quiet();
  announce(server.write("a", "1"));
  announce(server.write("b", "1"));
  server.write("c", "missed");
  announce(server.write("a", "2"));
  server.write("b", "2, missed");
  server.write("d", "missed");
  server.write("b", null);
  server.write("c", "changed");
  await quiet();
  expect(told.splice(0)).toEqual(["added a 1", "added b 1", "updated a 2"]);
  feed.pull();
  announce(server.write("e", "live meanwhile"));
  await quiet();
  expect(told.splice(0)).toEqual([
    "added d missed",
    "deleted b null",
    "updated c changed",
    "added e live meanwhile",
  ]);
  feed.pull();
  await quiet();
  expect(told).toEqual([]);
});

test("what left everybody's sight is not deleted for those who keep it, whichever they hear of first", async () => {
  const { server, feed, told, quiet } = open();
  feed.pull();
  await quiet();
  for (const [id, keptBy] of [
    ["mine", ["bob", "ann"]],
    ["others", ["bob"]],
  ] as const) {
    const row = server.write(id, "narrowed");
    feed.heard({ op: "deleted", memories: [{ ...row, content: null, kept_by: keptBy }] });
    if (keptBy.length > 1) feed.heard({ op: "added", memories: [row] });
  }
  await quiet();
  expect(told).toEqual(["added mine narrowed", "deleted others null"]);
});

test("ids are read, or told as deleted, and not told again", async () => {
  const { server, feed, told, quiet } = open();
  feed.pull();
  await quiet();
  server.write("large", "x");
  feed.heard({ op: "added", ids: ["large"] });
  await quiet();
  server.write("large", null);
  feed.heard({ op: "deleted", ids: ["large"] });
  feed.pull();
  await quiet();
  expect(told).toEqual(["added large x", "deleted large null"]);
});

test("a reading that fails is tried again, without anything being told twice", async () => {
  const { server, clock, feed, told, errors, announce, quiet } = open();
  feed.pull();
  await quiet();
  server.write("missed", "1");
  server.failures = 2;
  feed.pull();
  await quiet();
  announce(server.write("live", "1"));
  await clock.advance(4_000);
  expect(told).toEqual(["added live 1", "added missed 1"]);
  expect(errors).toEqual([]);
});

test("what an open transaction holds back is read soon after that has ended", async () => {
  const { server, clock, feed, told, quiet } = open();
  feed.pull();
  await quiet();
  server.write("a", "missed");
  server.isHeldBack = true;
  feed.pull();
  await quiet();
  expect(told).toEqual([]);
  server.isHeldBack = false;
  await clock.advance(2_000);
  expect(told).toEqual(["added a missed"]);
});

test("a position beyond what was heard is a reason to read, once", async () => {
  const { server, feed, told, announce, quiet } = open();
  feed.pull();
  await quiet();
  announce(server.write("a", "1"));
  await quiet();
  server.asked = [];
  feed.position(1);
  await quiet();
  expect(server.asked).toEqual([]);
  server.write("b", "1");
  feed.position(2);
  feed.position(2);
  await quiet();
  expect(server.asked).toHaveLength(1);
  expect(told).toEqual(["added a 1", "added b 1"]);
});

test("of another database, what changed since the last reading is told, and nothing older", async () => {
  const { server, feed, told, quiet } = open();
  server.write("old", "1");
  server.nowMs += 60_000;
  feed.pull();
  await quiet();
  server.epoch = "e2";
  server.nowMs += 60_000;
  server.write("new", "1");
  feed.pull();
  await quiet();
  expect(told).toEqual(["added new 1"]);
});

test("what comes from another tenant is not told, and what is no announcement or no page is refused", async () => {
  const { server, feed, told, errors, quiet } = open();
  feed.heard({ op: "added", memories: [{ ...server.write("a", "1"), tenant_id: "other" }, 7, null] });
  feed.heard({ op: "added" });
  feed.heard("noise");
  await quiet();
  expect(told).toEqual([]);
  expect(errors).toEqual([]);
  for (const wrong of [undefined, {}, { rows: [], cursor: 7, server_time: "x" }])
    expect(() => parsePulledPage("pull_memories", wrong)).toThrow(/expected rows, cursor and server_time/);
  const page = { rows: [], done: false, isHeldBack: false, serverTimeMs: 0 };
  expect(cursorOfNow({ ...page, isReset: false, cursor: "e:5:0" })).toBe("e:5:0");
  expect(() => cursorOfNow({ ...page, isReset: true, cursor: "e:0:0" })).toThrow(/when the reading began/);
});

test("the next process of an agent tells what changed meanwhile, once each; the first one begins with now", async () => {
  const { server, feed, told, announce, quiet } = open();
  server.write("old", "1");
  feed.pull();
  await quiet();
  announce(server.write("live", "1"));
  await quiet();
  await feed.close();
  expect(told).toEqual(["added live 1"]);
  expect(server.place.cursor).toBe("e1:2:0");
  server.write("live", "2");
  server.write("new", "1");
  server.write("live", "3");
  const next = open(server);
  next.feed.pull();
  await next.quiet();
  expect(next.told).toEqual(["added new 1", "updated live 3"]);
  await next.feed.close();
  const third = open(server);
  third.feed.pull();
  await third.quiet();
  expect(third.told).toEqual([]);
});

test("what a process did not hear of, or could not keep, is the next one's", async () => {
  const { server, feed, announce, quiet } = open();
  feed.pull();
  await quiet();
  server.write("missed", "1");
  announce(server.write("live", "1"));
  await feed.close();
  const next = open(server);
  next.feed.pull();
  await next.quiet();
  expect(next.told).toEqual(["added missed 1", "added live 1"]);
  next.announce(server.write("live", "2"));
  await next.quiet();
  server.failures = 1;
  await next.feed.close();
  const third = open(server);
  third.feed.pull();
  await third.quiet();
  expect([third.told, third.errors]).toEqual([["updated live 2"], []]);
});

test("what was told live is read and kept after five minutes, and nothing is where nothing was told", async () => {
  const { server, clock, feed, announce, quiet } = open();
  feed.pull();
  await quiet();
  announce(server.write("a", "1"));
  await quiet();
  server.kept = [];
  for (const ms of [299_999, 1, 300_000, 300_000]) {
    await clock.advance(ms);
    feed.position(server.seq);
    await quiet();
  }
  expect(server.kept).toEqual(["e1:1:0"]);
});

test("a place in another database leads to what changed there since", async () => {
  const server = new Server();
  server.write("old", "1");
  server.nowMs += 60_000;
  server.place = { cursor: "e0:7:0", kept_at: new Date(server.nowMs).toISOString() };
  server.nowMs += 60_000;
  server.write("new", "1");
  const { feed, told, quiet } = open(server);
  feed.pull();
  await quiet();
  expect(told).toEqual(["added new 1"]);
  expect(server.place.cursor).toBe("e1:2:0");
});
