import fc from "fast-check";
import { expect, test } from "vitest";
import { anyVector } from "./testing/vectors.ts";
import { decodeVector, encodedBytes, encodeVector } from "./quantise.ts";
import { cosine } from "./rescore.ts";

test("a decoded vector has length 1 and the direction of what was encoded", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }).chain(anyVector), (vector) => {
      const decoded = decodeVector(encodeVector(vector));
      expect(Math.hypot(...decoded)).toBeCloseTo(1, 5);
      // Half a step of 127 in every dimension, against a largest value of 127 at least.
      expect(cosine(decoded, vector)).toBeGreaterThan(1 - vector.length / (2 * 254 * 254));
    }),
  );
});

test("encoding what was decoded changes nothing", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }).chain(anyVector), (vector) => {
      const encoded = encodeVector(vector);
      expect(encoded).toHaveLength(encodedBytes(vector.length));
      expect(encodeVector(decodeVector(encoded))).toEqual(encoded);
    }),
  );
});

test("the length of a vector changes nothing, from the smallest float32 to the largest", () => {
  const [tiny, huge] = [1.401298464324817e-45, 3.4028234663852886e38];
  expect(encodeVector(Float32Array.of(tiny, -tiny, 0))).toEqual(
    encodeVector(Float32Array.of(huge, -huge, 0)),
  );
});

test.each([
  ["no direction", Float32Array.of(0, -0, 0)],
  ["NaN", Float32Array.of(1, Number.NaN)],
  ["an infinite number", Float32Array.of(1, -Infinity)],
])("a vector with %s is refused", (_, vector) => {
  expect(() => encodeVector(vector)).toThrow(RangeError);
});
