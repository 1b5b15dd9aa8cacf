/*
 * A vector is kept as one signed byte a dimension: its largest value becomes 127, and a scale makes the bytes a vector of
 * length 1 again. A query, which is not kept, gets 12 bits, which halves the error of a comparison and costs nothing.
 */

const rowLimit = 127;
/** 4,096 dimensions × 127 × 4,095 stay below 2^31, the kernel's sums. */
const queryLimit = 4095;

/** The length of an encoded vector: a little-endian float32, the scale, then a signed byte a dimension. */
export function encodedBytes(dimensions: number): number {
  return 4 + dimensions;
}

/** Throws RangeError on a vector that is not finite, or zero everywhere: neither has a direction. */
export function encodeVector(
  vector: Float32Array,
  encoded: Uint8Array = new Uint8Array(encodedBytes(vector.length)),
): Uint8Array {
  const scale = quantise(vector, rowLimit, valuesOf(encoded));
  new DataView(encoded.buffer, encoded.byteOffset).setFloat32(0, scale, true);
  return encoded;
}

/** What an encoded vector stands for, of length 1. */
export function decodeVector(encoded: Uint8Array): Float32Array {
  const scale = scaleOf(encoded);
  return Float32Array.from(valuesOf(encoded), (value) => value * scale);
}

const scaleBytes = new DataView(new ArrayBuffer(4));

/** Of an encoded vector, without a view of it: every row that is written comes through here. */
export function scaleOf(encoded: Uint8Array): number {
  for (let at = 0; at < 4; at++) scaleBytes.setUint8(at, encoded[at] ?? 0);
  return scaleBytes.getFloat32(0, true);
}

/** The signed bytes of an encoded vector, in place. */
function valuesOf(encoded: Uint8Array): Int8Array {
  return new Int8Array(encoded.buffer, encoded.byteOffset + 4, encoded.byteLength - 4);
}

/** `values` may be longer than the vector; `scale` makes a dot product with it a cosine. */
export function quantiseQuery(vector: Float32Array, values: Int16Array): number {
  return quantise(vector, queryLimit, values);
}

/** The same for what compares bytes with bytes. */
export function quantiseBytes(vector: Float32Array, values: Int8Array): number {
  return quantise(vector, rowLimit, values);
}

/** Added and taken away it leaves a whole number: a float64 this large has no bits for less. Math.round takes four times as long. */
const rounding = 1.5 * 2 ** 52;

function quantise(vector: Float32Array, limit: number, values: Int8Array | Int16Array): number {
  const { length } = vector;
  let largest = 0;
  for (let at = 0; at < length; at++) {
    const size = Math.abs(vector[at]!); // within its length, so never undefined
    if (!(size < Infinity)) throw new RangeError(`vector: expected finite numbers, got ${vector[at]}`);
    if (size > largest) largest = size;
  }
  if (largest === 0) throw new RangeError("vector: expected a direction, got zero in every dimension");
  const factor = limit / largest;
  let squares = 0;
  for (let at = 0; at < length; at++) {
    const value = vector[at]! * factor + rounding - rounding;
    values[at] = value;
    squares += value * value;
  }
  return 1 / Math.sqrt(squares);
}
