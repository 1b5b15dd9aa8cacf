import fc from "fast-check";
import { expect, test } from "vitest";
import { buildLimits, planBuild, type SegmentState } from "./plan-build.ts";

const limits = buildLimits(50_000);
const segment = (number: number, live: number, rows: number = live): SegmentState => ({ number, live, rows });

test.each([
  ["few vectors", 49_999, [], undefined],
  ["enough vectors", 50_000, [], { build: true, replace: [] }],
  ["a short tail", 24_999, [segment(1, 60_000)], undefined],
  ["a long tail beside a large segment", 25_000, [segment(1, 60_000)], { build: true, replace: [] }],
  [
    "a long tail takes in a segment like it",
    25_000,
    [segment(1, 200_000), segment(2, 40_000)],
    { build: true, replace: [2] },
  ],
  [
    "and then one like both",
    25_000,
    [segment(1, 120_000), segment(2, 40_000)],
    { build: true, replace: [2, 1] },
  ],
  ["a quarter of a segment has changed", 15_000, [segment(1, 45_000, 60_000)], undefined],
  ["more than a quarter has", 15_001, [segment(1, 44_999, 60_000)], { build: true, replace: [1] }],
  [
    "nothing is left of a segment",
    0,
    [segment(1, 60_000), segment(2, 0, 30_000)],
    { build: false, replace: [2] },
  ],
  ["most vectors were removed", 0, [segment(1, 20_000, 60_000)], { build: false, replace: [1] }],
])("%s", (_, tail, segments, plan) => {
  expect(planBuild({ tail, segments }, limits)).toEqual(plan);
});

test("as vectors come in, there are few segments, the tail stays short, and each vector is built few times", () => {
  let segments: SegmentState[] = [];
  let [tail, built, number, most] = [0, 0, 0, 0];
  const total = 2_000_000;
  for (let size = 0; size < total; size += 1000) {
    tail += 1000;
    const plan = planBuild({ tail, segments }, limits);
    if (plan === undefined) continue;
    expect(plan.build).toBe(true);
    const rows = segments
      .filter((one) => plan.replace.includes(one.number))
      .reduce((sum, { live }) => sum + live, tail);
    segments = [...segments.filter((one) => !plan.replace.includes(one.number)), segment(++number, rows)];
    built += rows;
    tail = 0;
    most = Math.max(most, segments.length);
  }
  expect(most).toBeLessThanOrEqual(6);
  expect(built / total).toBeLessThan(6);
});

test("carrying a plan out leaves nothing due", () => {
  const anySegment = fc.record({
    rows: fc.integer({ min: 1, max: 300_000 }),
    left: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.nat(200_000), fc.array(anySegment, { maxLength: 8 }), (tail, some) => {
      const segments = some.map(({ rows, left }, at) => segment(at, Math.floor(rows * left), rows));
      const plan = planBuild({ tail, segments }, limits);
      if (plan === undefined) return;
      const gone = segments.filter(({ number }) => plan.replace.includes(number));
      expect(gone).toHaveLength(plan.replace.length);
      const kept = segments.filter((one) => !gone.includes(one));
      const rows = gone.reduce((sum, { live }) => sum + live, tail);
      const after = plan.build
        ? { tail: 0, segments: [...kept, segment(99, rows)] }
        : { tail: rows, segments: kept };
      expect(planBuild(after, limits)).toBeUndefined();
    }),
  );
});
