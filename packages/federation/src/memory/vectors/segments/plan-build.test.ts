import fc from "fast-check";
import { expect, test } from "vitest";
import { buildLimits, planBuild, planLarge, type BuildPlan, type SegmentState } from "./plan-build.ts";

const limits = buildLimits(50_000);
const segment = (number: number, live: number, rows: number = live): SegmentState => ({ number, live, rows });

const build = (tailRows: number, ...replace: number[]) => ({ build: true, tailRows, replace });
const dissolve = (...replace: number[]) => ({ build: false, tailRows: 0, replace });

test.each([
  ["few vectors", 49_999, [], undefined],
  ["enough vectors", 50_000, [], build(50_000)],
  ["many at once: the first of them", 300_000, [], build(50_000)],
  ["a short tail", 24_999, [segment(1, 60_000)], undefined],
  ["a long tail beside a large segment", 25_000, [segment(1, 60_000)], build(25_000)],
  [
    "a long tail takes in a segment as small",
    25_000,
    [segment(1, 50_000), segment(2, 25_000)],
    build(25_000, 2),
  ],
  ["a quarter of a segment has changed", 15_000, [segment(1, 45_000, 60_000)], undefined],
  ["more than a quarter has", 15_001, [segment(1, 44_999, 60_000)], build(15_001, 1)],
  ["nothing is left of a segment", 0, [segment(1, 60_000), segment(2, 0, 30_000)], dissolve(2)],
  ["most vectors were removed", 0, [segment(1, 20_000, 60_000)], dissolve(1)],
])("%s", (_, tail, segments, plan) => {
  expect(planBuild({ tail, segments }, limits)).toEqual(plan);
});

test.each([
  [
    "a tail and segments that are too few together",
    20_000,
    [segment(1, 75_000), segment(2, 75_000)],
    undefined,
  ],
  ["a long tail", 200_000, [], build(200_000)],
  ["more than a segment may have: as many as it may", 1_300_000, [], build(500_000)],
  [
    "small segments, and no large one that is larger",
    10_000,
    [segment(1, 75_000), segment(2, 75_000), segment(3, 50_000), segment(4, 200_000), segment(5, 450_000)],
    build(10_000, 3, 1, 2, 4),
  ],
  ["a large one and too little beside it", 24_000, [segment(1, 450_000), segment(2, 75_000)], undefined],
  ["more than a quarter of a large one has changed", 4_000, [segment(1, 140_000, 200_000)], build(4_000, 1)],
  ["a large one of which too little is left to be one", 4_000, [segment(1, 70_000, 200_000)], undefined],
])("of a large segment: %s", (_, tail, segments, plan) => {
  expect(planLarge({ tail, segments }, limits)).toEqual(plan);
});

type Parts = { tail: number; segments: SegmentState[] };
let lastNumber = 1000;

function carryOut({ tail, segments }: Parts, plan: BuildPlan, most = 75_000): Parts & { built: number } {
  const gone = segments.filter(({ number }) => plan.replace.includes(number));
  expect(gone).toHaveLength(plan.replace.length);
  const kept = segments.filter((one) => !gone.includes(one));
  const rows = gone.reduce((sum, { live }) => sum + live, plan.tailRows);
  if (!plan.build) return { tail: tail + rows, segments: kept, built: 0 };
  expect(rows).toBeGreaterThan(0);
  expect(rows).toBeLessThanOrEqual(most);
  return { tail: tail - plan.tailRows, segments: [...kept, segment(++lastNumber, rows)], built: rows };
}

test("as vectors come in, most segments are full, the tail stays short, and each vector is built about twice", () => {
  let parts: Parts = { tail: 0, segments: [] };
  let built = 0;
  for (let size = 0; size < 2_000_000; size += 1000) {
    parts = { ...parts, tail: parts.tail + 1000 };
    const plan = planBuild(parts, limits);
    if (plan === undefined) continue;
    const after = carryOut(parts, plan);
    built += after.built;
    parts = after;
    expect(parts.tail).toBeLessThan(25_000);
  }
  expect(parts.segments.length).toBeLessThanOrEqual(41);
  expect(built / 2_000_000).toBeLessThan(2);
});

test("carried out again and again, a plan comes to an end, whatever it began with", () => {
  const anySegment = fc.record({
    rows: fc.integer({ min: 1, max: 75_000 }),
    left: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.nat(400_000), fc.array(anySegment, { maxLength: 12 }), (tail, some) => {
      let parts: Parts = {
        tail,
        segments: some.map(({ rows, left }, at) => segment(at, Math.floor(rows * left), rows)),
      };
      const total = ({ tail: rows, segments }: Parts): number =>
        segments.reduce((sum, { live }) => sum + live, rows);
      for (let step = 0; ; step++) {
        const plan = planBuild(parts, limits);
        if (plan === undefined) break;
        expect(step).toBeLessThan(60);
        const after = carryOut(parts, plan);
        expect(total(after)).toBe(total(parts));
        parts = after;
      }
      expect(parts.tail < 25_000 || total(parts) < 50_000).toBe(true);
    }),
  );
});

const either = (parts: Parts): BuildPlan | undefined => planLarge(parts, limits) ?? planBuild(parts, limits);

test("with large segments, a million vectors have a few, and each was built a few times", () => {
  let parts: Parts = { tail: 0, segments: [] };
  let built = 0;
  for (let size = 0; size < 1_000_000; size += 1000) {
    parts = { ...parts, tail: parts.tail + 1000 };
    const plan = either(parts);
    if (plan === undefined) continue;
    const after = carryOut(parts, plan, 500_000);
    built += after.built;
    parts = after;
    expect(parts.tail).toBeLessThan(25_000);
    expect(parts.segments.length).toBeLessThanOrEqual(7);
  }
  expect(parts.segments.length).toBeLessThanOrEqual(4);
  expect(built / 1_000_000).toBeLessThan(4);
});

test("large and small plans together come to an end, whatever they began with", () => {
  const anySegment = fc.record({
    rows: fc.integer({ min: 1, max: 500_000 }),
    left: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.nat(3_000_000), fc.array(anySegment, { maxLength: 12 }), (tail, some) => {
      let parts: Parts = {
        tail,
        segments: some.map(({ rows, left }, at) => segment(at, Math.floor(rows * left), rows)),
      };
      for (let step = 0; ; step++) {
        const plan = either(parts);
        if (plan === undefined) break;
        expect(step).toBeLessThan(60);
        parts = carryOut(parts, plan, 500_000);
      }
      expect(parts.tail).toBeLessThan(50_000);
      expect(parts.segments.every(({ live, rows }) => live >= rows * 0.75)).toBe(true);
    }),
  );
});
