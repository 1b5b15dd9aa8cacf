import { expect, test } from "vitest";
import { candidatesFor, cosine, rescore } from "./rescore.ts";

test("candidates come in the order of the whole vectors, and what is gone is left out", () => {
  const vectors = [
    Float32Array.of(0, 1),
    Float32Array.of(1, 0.1),
    undefined,
    Float32Array.of(1, 0),
    Float32Array.of(2, 0),
  ];
  const query = Float32Array.of(1, 0);
  const candidates = { slots: Uint32Array.of(0, 1, 2, 4, 3), scores: new Float32Array(5) };
  const best = rescore(query, candidates, { vectorOf: (slot) => vectors[slot], limit: 3 });
  expect([...best.slots]).toEqual([3, 4, 1]);
  expect([...best.scores]).toEqual([1, 1, Math.fround(cosine(query, Float32Array.of(1, 0.1)))]);
});

test("a cosine is one of direction, also of the smallest vectors", () => {
  expect(cosine(Float32Array.of(1e-40, 1e-40), Float32Array.of(3e38, 3e38))).toBeCloseTo(1);
  expect(cosine(Float32Array.of(1, 0), Float32Array.of(-5, 0))).toBeCloseTo(-1);
});

test("more results ask for more candidates, and always for more than there will be results", () => {
  for (let limit = 1; limit < 200; limit++) expect(candidatesFor(limit)).toBeGreaterThan(limit);
});
