import fc from "fast-check";
import { expect, test } from "vitest";
import { roundMs, summarize } from "./statistics.ts";

test("percentiles of 1 to 100 are those numbers", () => {
  const oneToHundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(summarize(oneToHundred)).toEqual({
    count: 100,
    minMs: 1,
    p50Ms: 50,
    p95Ms: 95,
    p99Ms: 99,
    maxMs: 100,
  });
});

test("a single sample is every percentile", () => {
  expect(summarize([7])).toEqual({ count: 1, minMs: 7, p50Ms: 7, p95Ms: 7, p99Ms: 7, maxMs: 7 });
});

test("no sample is an error, not a zero", () => {
  expect(() => summarize([])).toThrow(RangeError);
});

test("every figure is a sample, in ascending order, whatever the order of the samples", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }), (samples) => {
      const { minMs, p50Ms, p95Ms, p99Ms, maxMs } = summarize(samples);
      const figures = [minMs, p50Ms, p95Ms, p99Ms, maxMs];
      expect(figures).toEqual(figures.toSorted((a, b) => a - b));
      expect(figures.every((figure) => samples.includes(figure))).toBe(true);
      expect(minMs).toBe(Math.min(...samples));
      expect(maxMs).toBe(Math.max(...samples));
    }),
  );
});

test("samples are kept to the microsecond", () => {
  expect(roundMs(1.23456)).toBe(1.235);
});
