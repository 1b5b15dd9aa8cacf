import fc from "fast-check";
import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import type { Delivery } from "./deliveries.ts";
import { Inbox, type InboxParts } from "./inbox.ts";
import { parseMemoryAnnouncement, toMemoryEvent } from "./memory-event.ts";
import {
  inSenderOrder,
  isDatabaseOnly,
  parseBroadcastFrame,
  parseStoredMessage,
  requireType,
  type CoordinationMessage,
} from "./message.ts";
import { Outbox } from "./outbox.ts";
import { SeenIds } from "./seen-ids.ts";

const row = (id: string, from = "b", extra: object = {}): Record<string, unknown> => ({
  id,
  from_agent: from,
  to_agent: "me",
  type: "note",
  payload: { id },
  timestamp: "2026-01-01T00:00:00.5+00:00",
  seq: Number(id.replace(/\D/g, "")) || 1,
  ...extra,
});
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

const succeeded: Delivery = { listeners: 1, finished: Promise.resolve([]), again: () => succeeded };
const failing: Delivery = {
  listeners: 1,
  finished: Promise.resolve([new Error("no")]),
  again: () => failing,
};

const broadcast = (id: string, extra: object = {}): Record<string, unknown> =>
  row(id, "b", { to_agent: null, ...extra });

/** As pull_messages answers. */
const page = (rows: readonly unknown[], extra: object = {}): object => ({
  rows,
  cursor: "e:1:0",
  done: true,
  held_back: false,
  reset: false,
  server_time: "2026-01-01T00:00:00Z",
  ...extra,
});

interface Bench {
  readonly inbox: Inbox;
  readonly clock: TestClock;
  readonly handled: string[];
  readonly marks: string[];
  readonly listening: Set<string>;
}

function open(parts: Partial<InboxParts> = {}): Bench {
  const clock = new TestClock();
  const handled: string[] = [];
  const marks: string[] = [];
  const listening = new Set(["note"]);
  const inbox = new Inbox({
    isMyTurn: () => true,
    agentId: "me",
    clock,
    log: silentLog,
    pull: async () => [],
    limits: { maxDeliveries: 3, giveUpMs: 60_000 },
    count: async (ids) => ids.map((id) => ({ id, delivery_attempt: 1, dead: false })),
    fail: async (id, error, dead) => void marks.push(`${dead ? "dead" : "failed"} ${id} ${error}`),
    giveUp: async (id, error, attempts) => void marks.push(`gave up ${id} ${attempts} ${error}`),
    mark: async (ids, state) => void marks.push(...ids.map((id) => `${state} ${id}`)),
    pullMissed: async () => page([]),
    readOne: async () => null,
    keepPlace: async () => ({ cursor: "1", moved_at: "2026-01-01T00:00:00Z", new: true }),
    startFeed: async () => 1,
    random: () => 1,
    hasListener: (type) => listening.has(type),
    deliver: (message) => {
      handled.push(message.id);
      return succeeded;
    },
    ...parts,
  });
  inbox.release();
  return { inbox, clock, handled, marks, listening };
}

test("a message is delivered once, however often and whichever way it is heard of, and marked", async () => {
  const { inbox, clock, handled, marks } = open({
    pull: async (_max, after) => (after === 0 ? [row("1"), row("2")] : []),
  });
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("1") });
  inbox.pull();
  await turns();
  expect(handled).toEqual(["1", "2"]);
  await clock.advance(50);
  expect(marks.filter((mark) => mark.startsWith("handled")).toSorted()).toEqual(["handled 1", "handled 2"]);
  await inbox.close();
  expect(clock.pending).toBe(0);
});

test("live messages wait while older ones are read, so that each sender's stay in order", async () => {
  let answer = (_rows: unknown): void => {};
  const { inbox, handled } = open({
    pull: (_max, after) => (after === 0 ? new Promise((resolve) => (answer = resolve)) : Promise.resolve([])),
  });
  inbox.pull();
  inbox.heardDirect({ message: row("3") });
  await turns();
  expect(handled).toEqual([]);
  answer([row("2", "b", { sender_seq: 20, seq: 5 }), row("1", "b", { sender_seq: 10, seq: 6 })]);
  await turns();
  expect(handled).toEqual(["1", "2", "3"]);
});

test("a message that nobody listens for waits for a listener, unhandled", async () => {
  const { inbox, clock, handled, marks, listening } = open();
  inbox.heardDirect({ message: row("1", "b", { type: "later" }) });
  await clock.advance(50);
  expect(handled).toEqual([]);
  expect(marks).toEqual(["delivered 1"]);
  expect(inbox.waiting).toBe(1);
  listening.add("later");
  inbox.retryHeld();
  await clock.advance(50);
  expect(handled).toEqual(["1"]);
  expect(marks).toEqual(["delivered 1", "handled 1"]);
});

test("what was handled while the database was away is marked when it is back, and for good failures nothing is tried again", async () => {
  const failures = [new FederationError("timeout", "away"), new FederationError("unreachable", "away")];
  const tried: string[] = [];
  const { inbox, clock } = open({
    mark: async (ids, state) => {
      tried.push(`${state} ${ids.join()}`);
      const failure = state === "handled" ? failures.shift() : undefined;
      if (failure !== undefined) throw failure;
    },
  });
  inbox.heardDirect({ message: row("1") });
  await clock.advance(50);
  inbox.heardDirect({ message: row("2") });
  await clock.advance(2_100);
  expect(tried).toEqual(["handled 1", "handled 1,2", "handled 1,2"]);
  failures.push(new FederationError("forbidden", "no"));
  inbox.heardDirect({ message: row("3") });
  await clock.advance(10_000);
  expect(tried.slice(3)).toEqual(["handled 3"]);
  failures.push(new FederationError("timeout", "away"));
  inbox.heardDirect({ message: row("4") });
  await clock.advance(50);
  await inbox.close();
  expect(tried.slice(4)).toEqual(["handled 4", "handled 4"]); // once more, at the end
  expect(clock.pending).toBe(0);
});

test("a message whose handler fails is tried again, then a dead letter, and the sender's next one goes on", async () => {
  const { inbox, clock, marks } = open({
    deliver: ({ id }) => (id === "1" ? failing : succeeded),
    count: async (ids) => ids.map((id) => ({ id, delivery_attempt: 1 + counts++, dead: false })),
  });
  let counts = 1;
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("2") });
  await clock.advance(50);
  expect(marks).toEqual(["failed 1 Error: no", "delivered 2", "begun 1"]);
  for (let wait = 0; wait < 4; wait++) await clock.advance(200);
  expect(marks.slice(3)).toEqual(["failed 1 Error: no", "dead 1 Error: no", "handled 2"]);
});

test("what a listener acknowledges by itself is handled then, and holds up nothing", async () => {
  let ack = (): void => {};
  const acked = new Promise<void>((resolve) => (ack = resolve));
  const { inbox, clock, marks } = open({
    deliver: ({ id }) => (id === "1" ? { ...succeeded, acknowledged: () => acked } : succeeded),
  });
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("2") });
  await clock.advance(50);
  expect(marks.filter((mark) => mark.startsWith("handled"))).toEqual(["handled 2"]);
  ack();
  await clock.advance(50);
  expect(marks.at(-1)).toBe("handled 1");
});

test("a message that was read is counted before its handler begins, and not begun when that makes it a dead letter", async () => {
  const { inbox, handled } = open({
    pull: async (_max, after) => (after === 0 ? [row("1"), row("2")] : []),
    count: async (ids) => ids.map((id) => ({ id, delivery_attempt: 3, dead: id === "1" })),
  });
  inbox.pull();
  await turns();
  await turns();
  expect(handled).toEqual(["2"]);
});

test("what expired while it waited for its turn is not delivered, when the database says so as well", async () => {
  let end = (_errors: Error[]): void => {};
  const first = new Promise<Error[]>((resolve) => (end = resolve));
  const asked: string[] = [];
  const handled: string[] = [];
  const { inbox, clock } = open({
    deliver: ({ id }) => {
      handled.push(id);
      return id === "1" ? { ...succeeded, finished: first } : succeeded;
    },
    count: async (ids) => {
      asked.push(...ids);
      return ids.map((id) => ({ id, delivery_attempt: 0, dead: id === "2", expired: id === "2" }));
    },
  });
  const expires_at = new Date(clock.now() + 1000).toISOString();
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("2", "b", { expires_at }) });
  inbox.heardDirect({ message: row("3", "b", { expires_at }) });
  inbox.heardDirect({ message: row("4") });
  await clock.advance(1000);
  end([]);
  await turns();
  expect(handled).toEqual(["1", "3", "4"]);
  expect(asked).toEqual(["2", "3"]);
});

test("no handler begins once the inbox is closed, nor for another's turn, though its delivery was being counted", async () => {
  for (const end of ["closed", "another's turn"]) {
    let answer = (_counted: unknown[]): void => {};
    let isMyTurn = true;
    const { inbox, handled } = open({
      isMyTurn: () => isMyTurn,
      pull: async (_max, after) => (after === 0 ? [row("1")] : []),
      count: () => new Promise((resolve) => (answer = resolve)),
    });
    inbox.pull();
    await turns();
    if (end === "closed") void inbox.close();
    else isMyTurn = false;
    answer([{ id: "1", delivery_attempt: 1, dead: false }]);
    await turns();
    expect([end, handled]).toEqual([end, []]);
  }
});

test("an inbox that cannot be read is read again, and what arrives meanwhile is delivered behind what was there", async () => {
  let reads = 0;
  const { inbox, clock, handled } = open({
    pull: async (_max, after) => {
      if (reads++ === 0) throw new FederationError("unreachable", "down");
      return after === 0 ? [row("1")] : [];
    },
  });
  inbox.pull();
  inbox.heardDirect({ message: row("2") });
  await turns();
  expect(handled).toEqual([]);
  await clock.advance(2000);
  expect(handled).toEqual(["1", "2"]);
});

test("an announcement without the row is read, one for somebody else is dropped", async () => {
  const { inbox, handled } = open({
    pull: async (_max, after) => (after === 0 ? [row("1")] : []),
    readOne: async (id) => broadcast(id),
  });
  inbox.heardDirect({ id: "1" });
  inbox.heardBroadcast({ id: "2" });
  inbox.heardDirect({ message: row("3", "b", { to_agent: "other" }) });
  inbox.heardBroadcast({ message: row("4", "me", { to_agent: undefined }) }); // one's own
  await turns();
  expect(handled).toEqual(expect.arrayContaining(["1", "2"]));
  expect(handled).toHaveLength(2);
});

test("every page of the inbox is read, a short one as well", async () => {
  const all = Array.from({ length: 7 }, (_, index) => row(String(index + 1)));
  const { inbox, handled } = open({
    pull: async (_max, after) => all.filter((each) => Number(each["seq"]) > after).slice(0, 3),
  });
  inbox.pull();
  await turns();
  expect(handled).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
});

test("durable broadcasts are read to the last page, again after a failure, in order with what is announced meanwhile", async () => {
  const all = Array.from({ length: 7 }, (_, index) => broadcast(String(index + 1)));
  const asked: (string | null)[] = [];
  const { inbox, clock, handled } = open({
    pullMissed: async (_box, cursor) => {
      asked.push(cursor);
      if (asked.length === 1) throw new FederationError("unreachable", "down");
      const from = Number(cursor ?? 1);
      const rows = cursor === null ? [] : all.slice(from, from + 3);
      return page(rows, { cursor: String(from + rows.length), done: from + rows.length === 7 });
    },
  });
  await inbox.begin();
  inbox.pullFeed();
  await clock.advance(2000);
  await turns();
  expect(handled).toEqual(["2", "3", "4", "5", "6", "7"]);
  expect(asked).toEqual(["1", "1", "4"]);
  inbox.heardBroadcast({ message: broadcast("8") });
  expect(handled.at(-1)).toBe("8");
  inbox.pullFeed();
  await turns();
  expect(asked.at(-1)).toBe("7");
});

test("what an open transaction holds back is looked for again, ever more seldom, and live broadcasts do not wait for it", async () => {
  const errors: string[] = [];
  let reads = 0;
  let isHeld = true;
  const { inbox, clock, handled } = open({
    log: (level, text) => void (level === "error" && errors.push(text)),
    pullMissed: async (_box, cursor) => {
      if (cursor !== null) reads++;
      return isHeld ? page([], { held_back: true }) : page(cursor === null ? [] : [broadcast("1")]);
    },
  });
  inbox.pullFeed();
  await turns();
  inbox.heardBroadcast({ message: broadcast("2") });
  expect(handled).toEqual(["2"]);
  for (const waitMs of [100, 200, 400, 800, 1600]) await clock.advance(waitMs);
  expect(reads).toBe(6);
  for (let second = 0; second < 60; second += 2) await clock.advance(2000);
  expect(errors).toEqual(["a transaction that has been open for long keeps missed messages from being read"]);
  isHeld = false;
  await clock.advance(2000);
  expect(handled).toEqual(["2", "1"]);
  await inbox.close();
  expect(clock.pending).toBe(0);
});

test("from another database everything since this agent came is read again, and told but for what was told", async () => {
  const at = (id: string, timestamp: string) => broadcast(id, { timestamp });
  const { inbox, handled } = open({
    keepPlace: async () => ({ cursor: "old:1:0", moved_at: "2026-01-01T00:00:00Z", new: true }),
    pullMissed: async (_box, cursor) => {
      if (cursor?.startsWith("old")) return page([], { cursor: "new:0:0", done: false, reset: true });
      return page([
        at("1", "2025-12-31T23:59:00Z"),
        at("2", "2026-01-01T00:01:00Z"),
        at("3", "2026-01-01T00:02:00Z"),
      ]);
    },
  });
  await inbox.begin();
  inbox.heardBroadcast({ message: at("2", "2026-01-01T00:01:00Z") });
  inbox.pullFeed();
  await turns();
  expect(handled).toEqual(["2", "3"]);
});

test("the place on the feed is told once what was read has been handled, and at the end", async () => {
  const kept: (string | null)[] = [];
  let end = (_errors: Error[]): void => {};
  const handling = new Promise<Error[]>((resolve) => (end = resolve));
  let rows = [broadcast("1")];
  let cursor = 1;
  const { inbox, clock } = open({
    keepPlace: async (place) => {
      kept.push(place);
      return { cursor: "c1", moved_at: "2026-01-01T00:00:00Z", new: true };
    },
    pullMissed: async () => page(rows.splice(0), { cursor: `c${++cursor}` }),
    deliver: ({ id }) => (id === "1" ? { ...succeeded, finished: handling } : succeeded),
  });
  await inbox.begin();
  inbox.pullFeed();
  await turns();
  expect(kept).toEqual([null]);
  end([]);
  await turns();
  expect(kept).toEqual([null, "c2"]);
  inbox.pullFeed();
  await turns();
  expect(kept).toHaveLength(2); // nothing was read
  inbox.placeAsked(500);
  await clock.advance(500);
  await turns();
  expect(kept).toEqual([null, "c2", "c4"]);
  inbox.heardBroadcast({ message: broadcast("2") });
  rows = [broadcast("2")];
  await inbox.close();
  expect(kept).toEqual([null, "c2", "c4", "c5"]);
  expect(clock.pending).toBe(0);
});

test("a broadcast whose handlers fail is tried again, then given up; until the database knows, its place is not told", async () => {
  const places: (string | null)[] = [];
  let isOnline = false;
  let givenUp = 0;
  let rows: object[] = [broadcast("1")];
  const { inbox, clock, marks, handled } = open({
    pullMissed: async () => page(rows.splice(0), { cursor: "2" }),
    keepPlace: async (cursor) => {
      places.push(cursor);
      return { cursor: "1", moved_at: "2026-01-01T00:00:00Z", new: true };
    },
    giveUp: async () => {
      if (!isOnline) throw new Error("offline");
      givenUp++;
    },
    deliver: () => failing,
  });
  await inbox.begin();
  inbox.pullFeed();
  await clock.advance(100 + 200 + 2_000);
  expect([places, givenUp, marks, handled]).toEqual([[null], 0, [], []]);
  isOnline = true;
  await clock.advance(2_000);
  expect([places, givenUp, marks]).toEqual([[null, "2"], 1, []]);
  rows = [];
  await inbox.close();
  expect(clock.pending).toBe(0);
});

/** A process that comes back to a feed with three broadcasts, from which `startsAt` others had begun to tell. */
function comeBack(startsAt: number, deliver?: InboxParts["deliver"]) {
  const said = ["1", "2", "3"].map((id) => broadcast(id));
  const places: string[] = [];
  const givenUp: string[] = [];
  let starts = startsAt;
  const bench = open({
    keepPlace: async (cursor) => {
      if (cursor !== null) {
        places.push(cursor);
        starts = 0;
      }
      return { cursor: "0", moved_at: "2026-01-01T00:00:00Z", new: false };
    },
    startFeed: async () => ++starts,
    pullMissed: async (_box, cursor, maxRows = 10) => {
      const from = Number(cursor ?? "0");
      const rows = said.slice(from, from + maxRows);
      return page(rows, { cursor: String(from + rows.length), done: from + rows.length >= said.length });
    },
    giveUp: async (id, error, attempts) => void givenUp.push(`${id} ${attempts} ${error}`),
    ...(deliver === undefined ? {} : { deliver }),
  });
  return { ...bench, places, givenUp, starts: () => starts };
}

test("what was missed is told at once where no process before this one began to tell it", async () => {
  const { inbox, handled, places, starts } = comeBack(0);
  await inbox.begin();
  inbox.pullFeed();
  await turns();
  expect([handled, starts()]).toEqual([["1", "2", "3"], 0]); // counted, and the place has moved
  expect(places).toEqual(["3"]);
  await inbox.close();
});

test("where one did and ended, they are told one after the other, each with a place of its own", async () => {
  const handling: (() => void)[] = [];
  const { inbox, clock, places, givenUp } = comeBack(1, () => ({
    ...succeeded,
    finished: new Promise((resolve) => handling.push(() => resolve([]))),
  }));
  await inbox.begin();
  inbox.pullFeed();
  for (let at = 0; at < 3; at++) {
    await turns();
    expect([handling.length, places.length]).toEqual([at + 1, at]);
    handling[at]?.();
  }
  await turns();
  expect([places, givenUp]).toEqual([["1", "2", "3"], []]);
  await inbox.close();
  expect(clock.pending).toBe(0);
});

test("what as many processes began as there are deliveries is given up, and the others are told", async () => {
  const { inbox, handled, places, givenUp } = comeBack(3);
  await inbox.begin();
  inbox.pullFeed();
  await turns();
  await turns();
  expect(givenUp).toEqual(["1 3 told 3 times, and no handler came to its end"]);
  expect([handled, places]).toEqual([
    ["2", "3"],
    ["1", "2", "3"],
  ]);
  await inbox.close();
});

test("closing waits for no handler of what was missed, and its place stays before it", async () => {
  const { inbox, clock, places } = comeBack(1, () => ({ ...succeeded, finished: new Promise(() => {}) }));
  await inbox.begin();
  inbox.pullFeed();
  await turns();
  const closed = inbox.close();
  await clock.advance(2_000);
  await closed;
  expect([places, clock.pending]).toEqual([[], 0]);
});

test("a broadcast that was given up and comes again by the inbox is handled like a message to this agent", async () => {
  const { inbox, clock, marks, handled } = open({
    pull: async (_max, after) => (after === 0 ? [broadcast("1")] : []),
  });
  inbox.pull();
  await clock.advance(50);
  expect([handled, marks]).toEqual([["1"], ["handled 1"]]);
  await inbox.close();
});

test("at the end no place is told behind which something lies that this process has not told", async () => {
  const kept: (string | null)[] = [];
  const { inbox } = open({
    keepPlace: async (place) => {
      kept.push(place);
      return { cursor: "c1", moved_at: "2026-01-01T00:00:00Z", new: true };
    },
    pullMissed: async () => page([broadcast("1"), broadcast("2")], { cursor: "c2" }),
  });
  await inbox.begin();
  inbox.heardBroadcast({ message: broadcast("2") });
  await inbox.close();
  expect(kept).toEqual([null]);
});

test("a process that wants every message reads those that another one has handled, too, as from a moment on", async () => {
  const { inbox, handled } = open({
    isShared: true,
    pull: async (_max, after) => (after === 0 ? [row("1")] : []),
    pullMissed: async (box, cursor) => page(box === "inbox" && cursor !== null ? [row("1"), row("2")] : []),
  });
  inbox.pull();
  await turns();
  expect(handled).toEqual(["1", "2"]);
});

test("a sender's messages come in the order of its numbers, and nothing is lost or added", () => {
  const anyMessage = fc.record({
    id: fc.uuid(),
    from_agent: fc.constantFrom("a", "b", "c"),
    sender_seq: fc.nat(50),
  });
  fc.assert(
    fc.property(fc.array(anyMessage), (sent) => {
      const messages: CoordinationMessage[] = sent.map((each) => ({
        ...each,
        type: "x",
        payload: null,
        timestamp: "2026-01-01T00:00:00Z",
        verified: true,
        hop_count: 0,
      }));
      const ordered = inSenderOrder(messages);
      expect(ordered.map((message) => message.id).toSorted()).toEqual(
        messages.map((message) => message.id).toSorted(),
      );
      expect(ordered.map((message) => message.from_agent)).toEqual(
        messages.map((message) => message.from_agent),
      );
      for (const name of ["a", "b", "c"]) {
        const numbers = ordered
          .filter((message) => message.from_agent === name)
          .map((message) => message.sender_seq ?? 0);
        expect(numbers).toEqual(numbers.toSorted((x, y) => x - y));
      }
    }),
  );
});

test("seen ids are bounded and forget the oldest first", () => {
  const seen = new SeenIds(3);
  expect(["a", "b", "a", "c", "d", "a"].map((id) => seen.add(id))).toEqual([
    true,
    true,
    false,
    true,
    true,
    true,
  ]);
  expect(["a", "b", "c", "d"].map((id) => seen.has(id))).toEqual(
    [true, false, true, true].toSpliced(2, 1, true),
  );
});

test("seen ids know up to which time they have forgotten some", () => {
  const seen = new SeenIds(2);
  seen.add("a", 5);
  seen.add("b", 9);
  expect(seen.droppedMs).toBe(-Infinity);
  seen.add("c", 7);
  expect(seen.droppedMs).toBe(5);
  seen.add("d", 8);
  expect(seen.droppedMs).toBe(9);
});

test("messages to one recipient are stored one after the other, with an id that stays the same and a number that grows", async () => {
  const clock = new TestClock();
  const calls: Record<string, unknown>[] = [];
  const answers: (() => void)[] = [];
  const outbox = new Outbox({
    clock,
    instanceId: "i",
    call: (_name, args) => {
      calls.push(args);
      return new Promise((resolve) => answers.push(() => resolve(row(String(args["id"]), "me"))));
    },
  });
  const sends = ["b", "b", "c", null].map((to) => outbox.send({ to, type: "x", payload: {}, options: {} }));
  await turns();
  expect(calls.map((call) => call["to_agent"])).toEqual(["b", "c", null]);
  answers.forEach((answer) => answer());
  await turns();
  expect(calls).toHaveLength(4);
  answers.at(-1)?.();
  await Promise.all(sends);
  await outbox.settled();
  const numbers = calls.map((call) => call["sender_seq"] as number); // what send_message is called with
  expect(new Set(numbers).size).toBe(4);
  expect(Math.min(...numbers)).toBe(clock.now() * 1000);
});

test("a failed message does not hold up the next one", async () => {
  let calls = 0;
  const outbox = new Outbox({
    clock: new TestClock(),
    instanceId: "i",
    call: async () => {
      if (calls++ === 0) throw new FederationError("forbidden", "no");
      return row("2", "me");
    },
  });
  const [first, second] = ["b", "b"].map((to) => outbox.send({ to, type: "x", payload: {}, options: {} }));
  await expect(first).rejects.toThrow("no");
  await expect(second).resolves.toMatchObject({ id: "2" });
});

test("what comes over the room is vouched for by nobody and carries no rows, receipts or task messages", () => {
  const said = {
    id: "1",
    from_agent: "b",
    type: "note",
    payload: 1,
    timestamp: "2026-01-01T00:00:00Z",
    verified: true,
  };
  const frame = (...messages: object[]): unknown => ({ messages });
  expect(parseBroadcastFrame(frame(said))).toMatchObject([{ id: "1", verified: false }]);
  for (const forged of [
    { ...said, to_agent: "me" },
    { ...said, seq: 1 },
    { ...said, type: "task_assignment" },
    { ...said, type: "task_complete" },
    { ...said, type: "receipt" },
    { ...said, from_agent: "a b" },
    { ...said, id: 7 },
  ]) {
    expect(parseBroadcastFrame(frame(forged))).toEqual([]);
  }
  fc.assert(
    fc.property(fc.anything(), (anything) => {
      for (const message of parseBroadcastFrame(anything)) expect(message.verified).toBe(false);
      parseStoredMessage(anything);
      parseMemoryAnnouncement(anything);
      toMemoryEvent("added", anything);
    }),
  );
  expect(["task_x", "note", "status_update"].map(isDatabaseOnly)).toEqual([true, false, false]);
});

test("times are ISO 8601 as JavaScript writes it", () => {
  expect(parseStoredMessage(row("1"))?.timestamp).toBe("2026-01-01T00:00:00.500Z");
});

test("a type is 1 to 128 characters", () => {
  expect(requireType("x")).toBe("x");
  for (const bad of ["", "x".repeat(129), undefined, 7])
    expect(() => requireType(bad)).toThrow(/message type/);
});
