import { expect, test } from "vitest";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { FeedPlace } from "./feed-place.ts";
import { MissedMessages } from "./missed-messages.ts";

const timestamp = "2026-01-01T00:00:00.000Z";
const rowOf = (id: string): object => ({ id, from_agent: "a", type: "news", payload: null, timestamp });

/** A process that was told `id` live, and a feed that gives out `pages` one after the other, the last one for ever. */
async function told(id: string, pages: readonly { rows: readonly object[]; held_back: boolean }[]) {
  const clock = new TestClock();
  const kept: (string | null)[] = [];
  let read = 0;
  const place = new FeedPlace({
    clock,
    log: silentLog,
    keep: async (cursor) => {
      kept.push(cursor);
      return { cursor: cursor ?? "0", moved_at: timestamp };
    },
    start: async () => 1,
  });
  const missed = new MissedMessages({
    begin: () => place.begin(),
    pull: async () => {
      const page = pages[Math.min(read, pages.length - 1)];
      read += 1;
      return { ...page, cursor: String(read), done: true, reset: false, server_time: timestamp };
    },
    toldUntilMs: () => 0,
  });
  await missed.begin();
  kept.length = 0;
  place.told(Promise.resolve());
  return { clock, kept, closing: place.close(missed, (other) => other === id) };
}

test("closing waits for the transaction that holds back what was told, so that it is not told again", async () => {
  const held = { rows: [], held_back: true };
  const { clock, kept, closing } = await told("1", [held, held, { rows: [rowOf("1")], held_back: false }]);
  await clock.advance(0);
  expect(kept).toEqual([]);
  await clock.advance(75); // two looks
  await closing;
  expect([kept, clock.pending]).toEqual([["3"], 0]);
});

test("closing does not wait for a transaction that stays open", async () => {
  const { clock, kept, closing } = await told("1", [{ rows: [], held_back: true }]);
  await clock.advance(1_000);
  await closing;
  expect([kept, clock.pending]).toEqual([[], 0]);
});

test("closing never moves past what this process has not told", async () => {
  const { clock, kept, closing } = await told("1", [{ rows: [rowOf("2")], held_back: true }]);
  await clock.advance(0);
  await closing;
  expect([kept, clock.pending]).toEqual([[], 0]);
});
