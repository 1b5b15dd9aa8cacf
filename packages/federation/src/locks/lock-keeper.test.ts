import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { LockKeeper } from "./lock-keeper.ts";

type Answer = unknown;
type Call = {
  readonly name: string;
  readonly answer: (value: Answer) => void;
  readonly fail: (error: Error) => void;
};

/** A keeper whose calls the test answers one by one. */
function open() {
  const clock = new TestClock();
  const calls: Call[] = [];
  const told: string[] = [];
  const keeper = new LockKeeper({
    instanceId: "me",
    clock,
    call: (name) => new Promise((answer, fail) => calls.push({ name, answer, fail })),
    agents: () => 1,
    tell: (event, { holder }) => told.push(`${event} ${holder}`),
  });
  const next = async (name: string): Promise<Call> => {
    await clock.advance(0);
    const call = calls.shift();
    expect(call?.name).toBe(name);
    return call as Call;
  };
  return { clock, calls, told, keeper, next };
}

async function taken(ttlMs = 3_000) {
  const opened = open();
  const taking = opened.keeper.take("l", { ttlMs });
  (await opened.next("take_lock")).answer({ held: true, fence: 7 });
  return { ...opened, lock: await taking };
}

test("a lock is renewed after a third of its time, for as long as it is held", async () => {
  const { clock, next, calls, lock } = await taken();
  expect(lock.fence).toBe(7);
  for (let round = 0; round < 5; round++) {
    await clock.advance(1_000);
    (await next("renew_lock")).answer(true);
    await clock.advance(0);
  }
  expect(lock.signal.aborted).toBe(false);
  const released = lock.release();
  (await next("release_lock")).answer(true);
  await released;
  await lock.release(); // twice is once
  expect([calls, clock.pending]).toEqual([[], 0]);
});

test("a renewal whose answer never comes holds nothing: the signal aborts when the time is over", async () => {
  const { clock, next, lock } = await taken();
  await clock.advance(1_000);
  await next("renew_lock"); // is never answered
  await clock.advance(1_999);
  expect(lock.signal.aborted).toBe(false);
  await clock.advance(1);
  expect(lock.signal.reason).toMatchObject({ code: "invalid_state" });
  expect(clock.pending).toBe(0);
});

test("a renewal that failed is made again, and the time counts from the last one that did not", async () => {
  const { clock, next, lock } = await taken();
  await clock.advance(1_000);
  (await next("renew_lock")).fail(new FederationError("unreachable", "no network"));
  await clock.advance(1_000);
  (await next("renew_lock")).answer(true);
  await clock.advance(1_000);
  (await next("renew_lock")).fail(new FederationError("unreachable", "no network"));
  await clock.advance(1_999);
  expect(lock.signal.aborted).toBe(false);
  await clock.advance(1);
  expect(lock.signal.aborted).toBe(true);
});

test("a lock that somebody else has taken is lost at once, and is not let go for them", async () => {
  const { clock, next, calls, lock } = await taken();
  await clock.advance(1_000);
  (await next("renew_lock")).answer(false);
  await clock.advance(0);
  expect(lock.signal.aborted).toBe(true);
  await lock.release();
  expect([calls, clock.pending]).toEqual([[], 0]);
});

test("whoever waits asks again when it is freed, or has run out, and not before", async () => {
  const { clock, keeper, next, calls, told } = open();
  const taking = keeper.take("l");
  (await next("take_lock")).answer({ held: false, fence: 1, left_ms: 5_000 });
  await clock.advance(4_000);
  keeper.heard({ name: "other", state: "freed", holder: "bob", fence: 1 });
  await clock.advance(500);
  expect(calls).toEqual([]);
  keeper.heard({ name: "l", state: "freed", holder: "bob", fence: 1 });
  await clock.advance(100);
  (await next("take_lock")).answer({ held: false, fence: 2, left_ms: 1_000 });
  await clock.advance(1_110); // nobody says so: it has run out
  (await next("take_lock")).answer({ held: true, fence: 3 });
  expect((await taking).fence).toBe(3);
  expect(told).toEqual(["lock:freed bob", "lock:freed bob"]);
});

test("an abort ends the waiting; a lock that was taken meanwhile is let go", async () => {
  const { clock, keeper, next, calls } = open();
  const stop = new AbortController();
  const taking = keeper.take("l", { signal: stop.signal });
  const asked = await next("take_lock");
  stop.abort(new Error("no longer wanted"));
  asked.answer({ held: true, fence: 1 });
  (await next("release_lock")).answer(true);
  await expect(taking).rejects.toThrow("no longer wanted");
  expect([calls, clock.pending]).toEqual([[], 0]);
});

test("closing lets go what is held and ends the waiting", async () => {
  const { clock, keeper, next, lock } = await taken();
  const waiting = expect(keeper.take("m")).rejects.toMatchObject({ code: "closed" });
  (await next("take_lock")).answer({ held: false, fence: 1, left_ms: 5_000 });
  const trying = expect(keeper.try("n")).rejects.toMatchObject({ code: "closed" });
  const asked = await next("take_lock");
  await clock.advance(0);
  const closing = keeper.close();
  (await next("release_lock")).answer(true);
  await closing;
  await waiting;
  asked.answer({ held: true, fence: 2 });
  (await next("release_lock")).answer(true);
  await trying;
  expect(lock.signal.aborted).toBe(false);
  expect(clock.pending).toBe(0);
});
