/*
 * Text of 32-bit numbers for pgvector, which reads them back as they were. Nine digits say which one it is, so that a product of doubles and a
 * rounding are exact enough: both err by less than a fifth of what lies between two neighbours. toPrecision, exact to the last digit of a
 * double, was most of what a replica did to send its rows.
 */

const code = (character: string): number => character.charCodeAt(0);
const [comma, minus, exponentMark, zero] = [code(","), code("-"), code("e"), code("0")];
/** Comma, sign, nine digits, and an exponent of two digits with its sign. */
const longestNumber = 15;
const decoder = new TextDecoder();
let room = new Uint8Array(16_384);

/** `[0.5,-2]`, of finite numbers. Text, since it is parsed several times faster than an array of JSON. */
export function vectorText(vector: Float32Array): string {
  const mostBytes = 2 + vector.length * longestNumber;
  if (room.length < mostBytes) room = new Uint8Array(mostBytes);
  const bits = new Uint32Array(vector.buffer, vector.byteOffset, vector.length);
  let end = 0;
  room[end++] = code("[");
  for (let at = 0; at < vector.length; at++) {
    if (at > 0) room[end++] = comma;
    end = writeNumber(vector[at]!, bits[at]!, end); // within their length
  }
  room[end++] = code("]");
  return decoder.decode(room.subarray(0, end));
}

/** Answers where it ends. */
function writeNumber(value: number, bits: number, at: number): number {
  let end = at;
  if (value < 0) room[end++] = minus;
  const size = Math.abs(value);
  if (size < 1e9 && size === Math.floor(size)) return writeWhole(size, end);
  let tens = tensOf(size, (bits >>> 23) & 0xff);
  let mantissa = Math.round(size * factorOf(tens));
  if (mantissa >= 1e9) mantissa = Math.round(size * factorOf(++tens));
  else if (mantissa < 1e8) mantissa = Math.round(size * factorOf(--tens));
  const first = (mantissa / 1_000_000) | 0;
  const rest = mantissa - first * 1_000_000;
  const second = (rest / 1_000) | 0;
  writeThree(first, end);
  writeThree(second, end + 3);
  writeThree(rest - second * 1_000, end + 6);
  end += 9;
  const exponent = tens - 8;
  if (exponent === 0) return end;
  room[end++] = exponentMark;
  if (exponent < 0) room[end++] = minus;
  return writeWhole(Math.abs(exponent), end);
}

/** The power of ten of the first digit, or one less or more: told by the power of two, except of the smallest numbers, which have none. */
function tensOf(size: number, exponent: number): number {
  return exponent === 0 ? Math.floor(Math.log10(size)) : tensByExponent[exponent]!; // of eight bits
}

const tensByExponent = Int8Array.from({ length: 256 }, (_, at) =>
  Math.floor((at - 127 + 0.5) * Math.log10(2)),
);
const smallestTens = -46;
/** What makes a number with so many tens one of nine digits. */
const factors = Float64Array.from({ length: 40 - smallestTens }, (_, at) =>
  Number(`1e${8 - smallestTens - at}`),
);

function factorOf(tens: number): number {
  return factors[tens - smallestTens]!; // of 32-bit numbers there are no others
}

const threeDigits = Uint8Array.from({ length: 3_000 }, (_, at) => {
  const number = Math.floor(at / 3);
  return zero + (Math.floor(number / [100, 10, 1][at % 3]!) % 10);
});

function writeThree(value: number, at: number): void {
  room[at] = threeDigits[value * 3]!;
  room[at + 1] = threeDigits[value * 3 + 1]!;
  room[at + 2] = threeDigits[value * 3 + 2]!;
}

/** Below 2^31. */
function writeWhole(value: number, at: number): number {
  let length = 1;
  for (let limit = 10; value >= limit; limit *= 10) length += 1;
  let rest = value;
  for (let place = at + length - 1; place >= at; place--) {
    const tenth = Math.floor(rest / 10);
    room[place] = zero + rest - tenth * 10;
    rest = tenth;
  }
  return at + length;
}
