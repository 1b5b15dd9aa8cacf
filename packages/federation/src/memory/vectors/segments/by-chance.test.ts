import { expect, test } from "vitest";
import { seededRandom } from "../testing/vectors.ts";
import { isByChance, sampleSize, sampleSlots } from "./by-chance.ts";

const random = seededRandom(3);
const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

test("the best of many unrelated scores are by chance, and what stands out is not", () => {
  const rows = 100_000;
  for (let round = 0; round < 5; round++) {
    const scores = Float32Array.from({ length: rows }, () => 0.2 + 0.05 * normal());
    const sample = scores.slice(0, sampleSize);
    const worst = scores.toSorted().at(-20) ?? 1;
    expect(isByChance(worst, { sample, count: 20, rows })).toBe(true);
    expect(isByChance(0.2 + 0.05 * 6, { sample, count: 20, rows })).toBe(false);
  }
});

test("without a sample, or with as many candidates as rows, nothing stands out", () => {
  expect(isByChance(1, { sample: new Float32Array(1), count: 1, rows: 10 })).toBe(true);
  expect(isByChance(1, { sample: new Float32Array(10), count: 10, rows: 10 })).toBe(true);
});

test("a sample is of different slots that exist", () => {
  expect([...sampleSlots(3)]).toEqual([0, 1, 2]);
  const slots = [...sampleSlots(100_001)];
  expect(new Set(slots).size).toBe(sampleSize);
  expect(Math.max(...slots)).toBeLessThan(100_001);
  expect([...sampleSlots(0)]).toEqual([]);
});
