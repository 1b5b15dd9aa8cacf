import { expect, test } from "vitest";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { LoopGuard } from "./loop-guard.ts";
import type { CoordinationMessage } from "./message.ts";

const clock = new TestClock();
const message = (hop_count: number): CoordinationMessage => ({
  id: "m",
  from_agent: "b",
  type: "x",
  payload: null,
  timestamp: "2026-01-01T00:00:00Z",
  verified: true,
  hop_count,
  traceparent: "00-1",
});

test("what a handler sends, also after an await, inherits hops, correlation and trace; a chain has an end", async () => {
  const guard = new LoopGuard({ clock, maxHops: 3, messagesPerMinute: 100 });
  expect(guard.admit("send")).toEqual({ hopCount: 0 });
  const inherited = guard.within(message(2), async () => {
    await Promise.resolve();
    return guard.admit("send");
  });
  expect(await inherited).toEqual({ hopCount: 3, correlationId: "m", traceparent: "00-1" });
  expect(() => guard.within(message(3), () => guard.admit("send"))).toThrow(/the limit is 3.*raise maxHops/);
});

test("an agent that sends more than its budget is refused until the minute is over", async () => {
  const guard = new LoopGuard({ clock, maxHops: 3, messagesPerMinute: 2 });
  guard.admit("send");
  guard.admit("send");
  expect(() => guard.admit("send")).toThrow(/the limit is 2.*raise messagesPerMinute/);
  await clock.advance(60_000);
  expect(guard.admit("send")).toEqual({ hopCount: 0 });
});
