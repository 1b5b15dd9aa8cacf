import fc from "fast-check";
import { expect, test } from "vitest";
import { RateWindow } from "./rate-window.ts";

test("nothing is known before the first tick ends, then its mean, and a minute later nothing again", () => {
  const window = new RateWindow();
  window.add(63, 1000);
  expect(window.perSecond(5999)).toBe(0);
  expect(window.perSecond(6000)).toBe(63 / 5);
  expect(window.perSecond(11_000)).toBe(63 / 10);
  expect(window.perSecond(1000 + 60_000)).toBe(63 / 60);
  expect(window.perSecond(1000 + 65_000)).toBe(0);
  expect(window.perSecond(10_000_000)).toBe(0);
});

test("the rate is the mean of the ticks that have ended, at most the last twelve", () => {
  const event = fc.record({
    count: fc.integer({ min: 0, max: 50 }),
    afterMs: fc.integer({ min: 0, max: 20_000 }),
  });
  fc.assert(
    fc.property(fc.array(event), fc.integer({ min: 0, max: 80_000 }), (events, restMs) => {
      const window = new RateWindow();
      window.add(0, 0);
      const perTick = new Map<number, number>();
      let nowMs = 0;
      for (const { count, afterMs } of events) {
        nowMs += afterMs;
        window.add(count, nowMs);
        const tick = Math.floor(nowMs / 5000);
        perTick.set(tick, (perTick.get(tick) ?? 0) + count);
      }
      nowMs += restMs;
      const ended = Math.floor(nowMs / 5000);
      const seen = Array.from({ length: Math.min(12, ended) }, (_, i) => perTick.get(ended - 1 - i) ?? 0);
      const mean = seen.length === 0 ? 0 : seen.reduce((sum, n) => sum + n, 0) / (seen.length * 5);
      expect(window.perSecond(nowMs)).toBeCloseTo(mean, 9);
    }),
  );
});
