import { expect, test } from "vitest";
import { Blocks } from "./blocks.ts";

test("what is taken one after the other does not overlap, shares few buffers, and begins where 32-bit numbers may", () => {
  const blocks = new Blocks();
  const taken = Array.from({ length: 2_000 }, (_, at) =>
    at % 2 === 0
      ? blocks.floats(Float32Array.from({ length: 100 }, () => at))
      : blocks.bytes(1 + (at % 7)).fill(at % 251),
  );
  for (const [at, array] of taken.entries())
    expect(array.every((value) => value === (at % 2 === 0 ? at : at % 251))).toBe(true);
  expect(new Set(taken.map(({ buffer }) => buffer)).size).toBe(2);
});

test("a copy is nobody else's", () => {
  const blocks = new Blocks();
  const given = Float32Array.of(1, 2, 3);
  const copy = blocks.floats(given);
  given.fill(9);
  expect([...copy]).toEqual([1, 2, 3]);
});

test("what is larger than a block gets one of its own, and small ones go on", () => {
  const blocks = new Blocks();
  blocks.bytes(10).fill(1);
  const large = blocks.bytes(1_000_003);
  const next = blocks.bytes(4).fill(2);
  expect(large.length).toBe(1_000_003);
  expect(large.every((byte) => byte === 0)).toBe(true);
  expect([...next]).toEqual([2, 2, 2, 2]);
});
