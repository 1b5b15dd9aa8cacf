import fc from "fast-check";
import { expect, test } from "vitest";
import { createEncoder } from "./encoder.ts";
import { encodedBytes, encodeVector } from "./quantise.ts";
import { anyVector } from "./testing/vectors.ts";

const encode = createEncoder({ simd: true });

test("the kernel quantises as plain JavaScript does, whatever it quantised before", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 100 }).chain(anyVector), { minLength: 1 }), (vectors) => {
      for (const vector of vectors) {
        const encoded = new Uint8Array(encodedBytes(vector.length));
        encode(vector, encoded);
        expect(encoded).toEqual(encodeVector(vector));
      }
    }),
  );
});

test.each([1, 384, 1_536, 4_095, 4_096])(
  "%d dimensions, with numbers half way between two steps",
  (dimensions) => {
    const vector = Float32Array.from({ length: dimensions }, (_, at) =>
      at === 0 ? 127 : (at % 254) / 2 - 63,
    );
    const encoded = new Uint8Array(encodedBytes(dimensions));
    encode(vector, encoded);
    expect(encoded).toEqual(encodeVector(vector));
  },
);

test.each([
  ["no direction", Float32Array.of(0, -0, 0)],
  ["NaN", Float32Array.of(1, Number.NaN)],
  [
    "NaN behind the first sixteen",
    Float32Array.from({ length: 20 }, (_, at) => (at === 17 ? Number.NaN : 1)),
  ],
  ["an infinite number", Float32Array.of(1, -Infinity)],
])("a vector with %s is refused, and nothing of it is left", (_, vector) => {
  expect(() => encode(vector, new Uint8Array(encodedBytes(vector.length)))).toThrow(RangeError);
  const encoded = new Uint8Array(encodedBytes(3));
  encode(Float32Array.of(1, 2, 3), encoded);
  expect(encoded).toEqual(encodeVector(Float32Array.of(1, 2, 3)));
});
