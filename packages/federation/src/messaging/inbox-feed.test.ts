import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import type { InboxParts } from "./inbox.ts";
import { broadcast, failing, openInbox, page, succeeded, turns } from "./testing/open-inbox.ts";

test("durable broadcasts are read to the last page, again after a failure, in order with what is announced meanwhile", async () => {
  const all = Array.from({ length: 7 }, (_, index) => broadcast(String(index + 1)));
  const asked: (string | null)[] = [];
  const { inbox, clock, handled } = openInbox({
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
  const { inbox, clock, handled } = openInbox({
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
  const { inbox, handled } = openInbox({
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
  const { inbox, clock } = openInbox({
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
  const { inbox, clock, marks, handled } = openInbox({
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
function comeBack(startsAt: number, deliver?: InboxParts["deliver"], lostAnswers = 0) {
  const said = ["1", "2", "3"].map((id) => broadcast(id));
  const places: string[] = [];
  const givenUp: string[] = [];
  let starts = startsAt;
  const bench = openInbox({
    keepPlace: async (cursor) => {
      if (cursor !== null) {
        places.push(cursor);
        starts = 0;
      }
      return { cursor: "0", moved_at: "2026-01-01T00:00:00Z", new: false };
    },
    startFeed: async () => {
      starts++;
      if (lostAnswers-- > 0) throw new FederationError("timeout", "no answer");
      return starts;
    },
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

test("what this process itself began again, since no answer came, counts as nobody's failure", async () => {
  const { inbox, clock, handled, givenUp } = comeBack(0, undefined, 10);
  await inbox.begin();
  inbox.pullFeed();
  await clock.advance(10 * 2_000);
  expect([handled, givenUp]).toEqual([["1", "2", "3"], []]);
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
  const { inbox, clock, marks, handled } = openInbox({
    pull: async (_max, after) => (after === 0 ? [broadcast("1")] : []),
  });
  inbox.pull();
  await clock.advance(50);
  expect([handled, marks]).toEqual([["1"], ["handled 1"]]);
  await inbox.close();
});

test("at the end no place is told behind which something lies that this process has not told", async () => {
  const kept: (string | null)[] = [];
  const { inbox } = openInbox({
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
