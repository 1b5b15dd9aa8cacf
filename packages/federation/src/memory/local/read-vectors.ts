import { createCosines, plainCosines, type Cosines } from "../vectors/cosines.ts";

/** A vector as the tables keep it, without having looked at whether its sum is right. */
export interface UncheckedVector {
  readonly vector: Float32Array;
  readonly sum: number;
}

/** Room before each vector, so that it lies where four numbers are read at a time; the last of it has the vector's sum. */
const before = 4;
const sumBytes = 4;
/** More candidates than fit in so much are read into memory of their own. */
const sharedBytes = 4 * 1_048_576;

let shared: Cosines | undefined;
let isSharedTaken = false;

/**
 * Room for the whole vectors of a search's candidates: read once, compared, and copied for the rows that are the best. One search at a time
 * has the room that the process keeps, until it closes it: fresh memory for each would cost as much as what is read into it.
 */
export class ReadVectors {
  readonly #dimensions: number;
  readonly #padded: number;
  readonly #cosines: Cosines;
  readonly #hasSum: boolean[];
  #isShared: boolean;

  constructor(dimensions: number, count: number) {
    this.#dimensions = dimensions;
    this.#padded = Math.ceil(dimensions / 4) * 4;
    const numbers = (before + this.#padded) * count;
    this.#isShared = !isSharedTaken && numbers * 4 <= sharedBytes;
    if (this.#isShared) {
      shared ??= createCosines(sharedBytes);
      isSharedTaken = true;
    }
    this.#cosines = this.#isShared && shared !== undefined ? shared : plainCosines();
    this.#cosines.reserve(numbers);
    this.#hasSum = Array.from({ length: count }, () => false);
  }

  /** Takes over a vector's bytes, with its sum before them if `hasSum`. False where they are of other dimensions. */
  put(place: number, bytes: Uint8Array, hasSum: boolean): boolean {
    const ahead = hasSum ? sumBytes : 0;
    const dimensions = this.#dimensions;
    if (bytes.length !== dimensions * 4 + ahead) return false;
    const { bytes: room, numbers } = this.#cosines;
    const start = this.#startOf(place);
    room.set(bytes, start * 4 - ahead);
    this.#hasSum[place] = hasSum;
    for (let at = dimensions; at < this.#padded; at++) numbers[start + at] = 0; // who had the room before left something there
    return true;
  }

  /** From now on `similarity` compares with this. */
  compareWith(query: Float32Array): void {
    this.#cosines.want(query, this.#padded);
  }

  /** Cosine similarity of what was read with what is wanted. */
  similarity(place: number): number {
    return this.#cosines.of(this.#startOf(place));
  }

  /** A copy, to be kept. Undefined for one that came without its sum. */
  take(place: number): UncheckedVector | undefined {
    if (this.#hasSum[place] !== true) return undefined;
    const { bytes, numbers } = this.#cosines;
    const start = this.#startOf(place);
    const sum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(start * 4 - sumBytes, true);
    const vector = new Float32Array(this.#dimensions); // `slice` takes twice as long
    vector.set(numbers.subarray(start, start + this.#dimensions));
    return { vector, sum };
  }

  /** Nothing can be read here any more; what was taken stays. */
  close(): void {
    if (this.#isShared) isSharedTaken = false;
    this.#isShared = false;
  }

  #startOf(place: number): number {
    return place * (before + this.#padded) + before;
  }
}
