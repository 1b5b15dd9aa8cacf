/** A vector as the tables keep it, without having looked at whether its sum is right. */
export interface UncheckedVector {
  readonly vector: Float32Array;
  readonly sum: number;
}

/** Room before each vector, so that it lies where four numbers are read at a time; the last of it has the vector's sum. */
const before = 4;
const sumBytes = 4;

/** Room for the whole vectors of a search's candidates: read once, compared, and given away with the rows that are the best. */
export class ReadVectors {
  readonly #dimensions: number;
  readonly #padded: number;
  readonly #numbers: Float32Array;
  readonly #bytes: Uint8Array;

  constructor(dimensions: number, count: number) {
    this.#dimensions = dimensions;
    this.#padded = Math.ceil(dimensions / 4) * 4;
    this.#numbers = new Float32Array((before + this.#padded) * count);
    this.#bytes = new Uint8Array(this.#numbers.buffer);
  }

  /** Takes over a vector's bytes, with its sum before them if `hasSum`. False where they are of other dimensions. */
  put(place: number, bytes: Uint8Array, hasSum: boolean): boolean {
    const ahead = hasSum ? sumBytes : 0;
    if (bytes.length !== this.#dimensions * 4 + ahead) return false;
    this.#bytes.set(bytes, this.#startOf(place) * 4 - ahead);
    return true;
  }

  /** Cosine similarity with what was read. Four sums at a time: a single one waits for itself. */
  comparedWith(query: Float32Array): (place: number) => number {
    const [numbers, padded] = [this.#numbers, this.#padded];
    const wanted = new Float64Array(padded);
    wanted.set(query);
    let square = 0;
    for (let at = 0; at < padded; at++) square += wanted[at]! * wanted[at]!; // within its length; by reduce it took seven microseconds
    const queryLength = Math.sqrt(square);
    return (place) => {
      const start = this.#startOf(place);
      let dot0 = 0;
      let dot1 = 0;
      let square0 = 0;
      let square1 = 0;
      for (let at = 0; at < padded; at += 4) {
        // Within both arrays, so never undefined; taken apart by a pattern they would take seven times as long.
        const a = numbers[start + at]!;
        const b = numbers[start + at + 1]!;
        const c = numbers[start + at + 2]!;
        const d = numbers[start + at + 3]!;
        dot0 += a * wanted[at]! + c * wanted[at + 2]!;
        dot1 += b * wanted[at + 1]! + d * wanted[at + 3]!;
        square0 += a * a + c * c;
        square1 += b * b + d * d;
      }
      return (dot0 + dot1) / (Math.sqrt(square0 + square1) * queryLength);
    };
  }

  take(place: number): UncheckedVector {
    const start = this.#startOf(place);
    const sum = new DataView(this.#bytes.buffer).getUint32(start * 4 - sumBytes, true);
    return { vector: this.#numbers.subarray(start, start + this.#dimensions), sum };
  }

  #startOf(place: number): number {
    return place * (before + this.#padded) + before;
  }
}
