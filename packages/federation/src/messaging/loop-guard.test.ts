import { executionAsyncResource } from "node:async_hooks";
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
  const guard = new LoopGuard({ tenantId: "t", clock, maxHops: 3, messagesPerMinute: 100 });
  expect(guard.admit("send")).toEqual({ hopCount: 0 });
  const inherited = guard.within(message(2), async () => {
    await Promise.resolve();
    return guard.admit("send");
  });
  expect(await inherited).toEqual({ hopCount: 3, correlationId: "m", traceparent: "00-1" });
  expect(() => guard.within(message(3), () => guard.admit("send"))).toThrow(/the limit is 3.*raise maxHops/);
});

test("an agent that sends more than its budget is refused until the minute is over", async () => {
  const guard = new LoopGuard({ tenantId: "t", clock, maxHops: 3, messagesPerMinute: 2 });
  guard.admit("send");
  guard.admit("send");
  expect(() => guard.admit("send")).toThrow(/the limit is 2.*raise messagesPerMinute/);
  await clock.advance(60_000);
  expect(guard.admit("send")).toEqual({ hopCount: 0 });
});

test("what a handler sends through another hub of the tenant inherits as well, through one of another tenant nothing", () => {
  const [here, beside, elsewhere] = ["t", "t", "u"].map(
    (tenantId) => new LoopGuard({ tenantId, clock, maxHops: 3, messagesPerMinute: 2 }),
  );
  here?.within(message(1), () => {
    expect(beside?.admit("send")).toMatchObject({ hopCount: 2, correlationId: "m" });
    expect(elsewhere?.admit("send")).toEqual({ hopCount: 0 });
  });
});

test("hubs that come and go leave nothing behind that every promise would have to carry", async () => {
  const carried = async (): Promise<number> => {
    await Promise.resolve();
    return Object.getOwnPropertySymbols(executionAsyncResource()).length;
  };
  const use = (): void =>
    new LoopGuard({ tenantId: "t", clock, maxHops: 3, messagesPerMinute: 2 }).within(message(0), () => {});
  use();
  const before = await carried();
  for (let hub = 0; hub < 20; hub++) use();
  expect(await carried()).toBe(before);
});
