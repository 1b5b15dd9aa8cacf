import { expect, test } from "vitest";
import { ReadVectors } from "./read-vectors.ts";
import { vectorToBytes } from "./row-codec.ts";

const summed = (vector: Float32Array, sum: number): Uint8Array => {
  const bytes = new Uint8Array(4 + vector.byteLength);
  new DataView(bytes.buffer).setUint32(0, sum, true);
  bytes.set(vectorToBytes(vector), 4);
  return bytes;
};

test("searches that overlap have room of their own, and what one took stays as it was", () => {
  const first = new ReadVectors(3, 2);
  const second = new ReadVectors(3, 2);
  first.put(0, summed(Float32Array.of(1, 0, 0), 7), true);
  second.put(0, vectorToBytes(Float32Array.of(0, 1, 0)), false);
  first.compareWith(Float32Array.of(1, 0, 0));
  second.compareWith(Float32Array.of(3, 4, 0));
  expect(first.similarity(0)).toBeCloseTo(1, 12);
  expect(second.similarity(0)).toBeCloseTo(0.8, 12);
  const taken = first.take(0);
  first.close();
  const third = new ReadVectors(3, 1);
  third.put(0, summed(Float32Array.of(9, 9, 9), 8), true);
  expect(taken).toEqual({ vector: Float32Array.of(1, 0, 0), sum: 7 });
  expect(second.take(0)).toBeUndefined(); // it came without a sum
  for (const each of [second, third]) each.close();
});

test("what a search before left in the room is no part of a vector", () => {
  const wide = new ReadVectors(8, 1);
  wide.put(0, vectorToBytes(new Float32Array(8).fill(5)), false);
  wide.close();
  const narrow = new ReadVectors(2, 1);
  narrow.put(0, vectorToBytes(Float32Array.of(3, 4)), false);
  narrow.compareWith(Float32Array.of(1, 0));
  expect(narrow.similarity(0)).toBeCloseTo(0.6, 12);
  narrow.close();
});

test("bytes of other dimensions are not taken over", () => {
  const vectors = new ReadVectors(3, 1);
  expect(vectors.put(0, vectorToBytes(Float32Array.of(1, 2)), false)).toBe(false);
  expect(vectors.put(0, vectorToBytes(Float32Array.of(1, 2, 3)), true)).toBe(false);
  expect(vectors.put(0, vectorToBytes(Float32Array.of(1, 2, 3)), false)).toBe(true);
  vectors.close();
});
