import { expect, test } from "vitest";
import { systemClock, type Clock } from "../runtime/clock.ts";
import { quietClock } from "./quiet-clock.ts";

test("a clock that is quiet still knows what passes, whatever the time of day is set to", () => {
  let [now, passed] = [1_000, 5];
  const clock: Clock = { now: () => now, elapsed: () => passed, after: () => () => undefined };
  for (const quiet of [quietClock(clock, false), quietClock(clock, true)]) {
    expect([quiet.now(), quiet.elapsed?.()]).toEqual([now, passed]);
    [now, passed] = [now + 3_600_000, passed + 1];
    expect([quiet.now(), quiet.elapsed?.()]).toEqual([now, passed]);
  }
  expect(quietClock(systemClock, true).elapsed?.()).toBeGreaterThan(0);
});

test("one that knows only the time of day says no more than that", () => {
  const clock: Clock = { now: () => 1, after: () => () => undefined };
  expect("elapsed" in quietClock(clock, false)).toBe(false);
});
