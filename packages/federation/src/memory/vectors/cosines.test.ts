import fc from "fast-check";
import { expect, test } from "vitest";
import { createCosines } from "./cosines.ts";
import { cosine } from "./rescore.ts";
import { anyVector } from "./testing/vectors.ts";

const mostBytes = 1_048_576;

test("the kernel and plain JavaScript compare alike, to the last bit, and as the definition says", () => {
  const anyCase = fc.integer({ min: 1, max: 40 }).chain((dimensions) =>
    fc.record({
      query: anyVector(dimensions),
      vectors: fc.array(anyVector(dimensions), { minLength: 1, maxLength: 10 }),
    }),
  );
  fc.assert(
    fc.property(anyCase, ({ query, vectors }) => {
      const padded = Math.ceil(query.length / 4) * 4;
      const [fast = [], plain = []] = [true, false].map((simd) => {
        const cosines = createCosines(mostBytes, { simd });
        cosines.reserve(padded * vectors.length);
        for (const [at, vector] of vectors.entries()) cosines.numbers.set(vector, at * padded);
        cosines.want(query, padded);
        return vectors.map((_, at) => cosines.of(at * padded));
      });
      expect(fast).toEqual(plain);
      for (const [at, vector] of vectors.entries()) expect(fast[at]).toBeCloseTo(cosine(query, vector), 12);
    }),
  );
});

test.each([true, false])(
  "there is more room when more is asked for, and another query (kernel: %s)",
  (simd) => {
    const cosines = createCosines(mostBytes, { simd });
    cosines.want(Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1), 8);
    cosines.reserve(200_000);
    expect(cosines.numbers.length).toBeGreaterThanOrEqual(200_000);
    cosines.numbers.set([3, 4], 199_992);
    cosines.want(Float32Array.of(1, 0), 4); // what the longer one left behind it does not count
    expect(cosines.of(199_992)).toBeCloseTo(0.6, 12);
  },
);
