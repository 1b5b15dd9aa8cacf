import fc from "fast-check";
import { expect, test } from "vitest";
import { createHashingEmbedder } from "./hashing-embedder.ts";

const embed = createHashingEmbedder();

const cosine = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);

test("every text, whatever it holds, has one vector of length 1 in the dimensions that were asked for", async () => {
  const cases = fc.asyncProperty(
    fc.string({ unit: "binary" }),
    fc.integer({ min: 16, max: 4096 }),
    async (text, dimensions) => {
      const sized = createHashingEmbedder({ dimensions });
      const [first = [], second] = await sized([text, text]);
      expect(first).toHaveLength(dimensions);
      expect(Math.hypot(...first)).toBeCloseTo(1, 10);
      expect(second).toEqual(first);
    },
  );
  await fc.assert(cases, { numRuns: 50 });
});

test("texts that share words are nearer than texts that share none", async () => {
  const [incident = [], alike = [], unlike = []] = await embed([
    "Incidents should be reported within a day",
    "A reported incident needs an owner",
    "Gradient descent follows the slope",
  ]);
  expect(cosine(incident, alike)).toBeGreaterThan(0.3);
  expect(cosine(incident, unlike)).toBeLessThan(0.15);
});

test("other dimensions than 16 to 4096 are refused", () => {
  for (const dimensions of [0, 15, 4097, 1.5, Number.NaN]) {
    expect(() => createHashingEmbedder({ dimensions })).toThrow(/from 16 to 4096/);
  }
});
