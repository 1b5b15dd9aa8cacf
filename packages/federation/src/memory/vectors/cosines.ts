import { hasKernel, openKernel } from "./kernel.ts";
import { mostDimensions, pageBytes } from "./row-layout.ts";

/** Room for whole vectors, and their comparison with one of them. */
export interface Cosines {
  /** Four bytes a number. Another array after every `reserve`. */
  readonly numbers: Float32Array;
  /** The same as bytes. */
  readonly bytes: Uint8Array;
  /** Makes room for so many numbers; what is there may be gone. */
  reserve(numbers: number): void;
  /** What the others are compared with, as if zeros followed up to `length` numbers, a multiple of 4. Stays until the next. */
  want(query: Float32Array, length: number): void;
  /** The cosine, in float64, of what is wanted and the vector that begins at this number, a multiple of 4. */
  of(start: number): number;
}

/** Of at most `mostBytes`. The kernel compares, where the machine has one. */
export function createCosines(mostBytes: number, { simd = hasKernel() }: { simd?: boolean } = {}): Cosines {
  return simd ? kernelCosines(mostBytes) : plainCosines();
}

/** In plain JavaScript, with the kernel's results. */
export function plainCosines(): Cosines {
  let numbers = new Float32Array();
  let bytes = new Uint8Array(numbers.buffer);
  let wanted = new Float64Array();
  let size = 0;
  return {
    get numbers() {
      return numbers;
    },
    get bytes() {
      return bytes;
    },
    reserve(count) {
      if (count <= numbers.length) return;
      numbers = new Float32Array(count);
      bytes = new Uint8Array(numbers.buffer);
    },
    want(query, length) {
      wanted = new Float64Array(length);
      wanted.set(query);
      size = sizeOf(query);
    },
    of(start) {
      const { length } = wanted;
      // Four sums at a time: a single one waits for itself.
      let [dotA, dotB, dotC, dotD] = [0, 0, 0, 0];
      let [squareA, squareB, squareC, squareD] = [0, 0, 0, 0];
      for (let at = 0; at < length; at += 4) {
        // Within both arrays, so never undefined; taken apart by a pattern they would take seven times as long.
        const a = numbers[start + at]!;
        const b = numbers[start + at + 1]!;
        const c = numbers[start + at + 2]!;
        const d = numbers[start + at + 3]!;
        dotA += a * wanted[at]!;
        dotB += b * wanted[at + 1]!;
        dotC += c * wanted[at + 2]!;
        dotD += d * wanted[at + 3]!;
        squareA += a * a;
        squareB += b * b;
        squareC += c * c;
        squareD += d * d;
      }
      const length2 = Math.sqrt(squareA + squareC + (squareB + squareD));
      return (dotA + dotC + (dotB + dotD)) / length2 / size;
    },
  };
}

/** Of the wanted vector, before the numbers. */
const wantedBytes = mostDimensions * 8;

function kernelCosines(mostBytes: number): Cosines {
  const maximum = Math.ceil((wantedBytes + mostBytes) / pageBytes);
  const { kernel, memory } = openKernel({ initial: 2, maximum });
  const viewsOf = (buffer: ArrayBuffer) => ({
    wanted: new Float64Array(buffer, 0, mostDimensions),
    numbers: new Float32Array(buffer, wantedBytes),
    bytes: new Uint8Array(buffer, wantedBytes),
  });
  let views = viewsOf(memory.buffer);
  let size = 0;
  let compared = 0;
  return {
    get numbers() {
      return views.numbers;
    },
    get bytes() {
      return views.bytes;
    },
    reserve(count) {
      const missing = wantedBytes + count * 4 - memory.buffer.byteLength;
      if (missing <= 0) return;
      memory.grow(Math.ceil(missing / pageBytes));
      views = viewsOf(memory.buffer);
    },
    want(query, length) {
      views.wanted.set(query);
      views.wanted.fill(0, query.length, length);
      size = sizeOf(query);
      compared = length * 4;
    },
    of: (start) => kernel.cosine(0, wantedBytes + start * 4, compared) / size,
  };
}

function sizeOf(vector: Float32Array): number {
  let square = 0;
  for (let at = 0; at < vector.length; at++) square += vector[at]! * vector[at]!; // within its length; by reduce it took seven microseconds
  return Math.sqrt(square);
}
