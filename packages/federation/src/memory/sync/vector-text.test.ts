import fc from "fast-check";
import { expect, test } from "vitest";
import { vectorText } from "./vector-text.ts";

const float32 = fc.float({ noNaN: true, noDefaultInfinity: true });

function readBack(text: string): number[] {
  return Array.from(JSON.parse(text) as number[], Math.fround);
}

test("every 32-bit number is read back as it was", () => {
  fc.assert(
    fc.property(fc.array(float32, { minLength: 1, maxLength: 40 }), (values) => {
      expect(readBack(vectorText(Float32Array.from(values)))).toEqual(values.map((value) => value + 0));
    }),
    { numRuns: 2_000 },
  );
});

test("so are the neighbours of powers of ten and of two, and the smallest and largest numbers there are", () => {
  const bits = new Uint32Array(1);
  const floats = new Float32Array(bits.buffer);
  const values: number[] = [];
  const add = (value: number): void => {
    floats[0] = value;
    const middle = bits[0]!;
    for (let step = -3; step <= 3; step++) {
      bits[0] = middle + step;
      if (Number.isFinite(floats[0])) values.push(floats[0], -floats[0]);
    }
  };
  for (let exponent = -44; exponent <= 38; exponent++) add(Number(`1e${exponent}`));
  for (let exponent = -148; exponent <= 127; exponent++) add(2 ** exponent);
  expect(values.length).toBeGreaterThan(4_000);
  expect(readBack(vectorText(Float32Array.from(values)))).toEqual(values.map((value) => value + 0));
});

test("whole numbers are short, and as many dimensions as there may be find room", () => {
  expect(vectorText(Float32Array.of(1, 0, -2, 384))).toBe("[1,0,-2,384]");
  expect(vectorText(new Float32Array())).toBe("[]");
  const many = new Float32Array(4_096).fill(-1.234_567_9e-30);
  expect(readBack(vectorText(many))).toEqual(Array.from(many));
});
