import { hasKernel } from "./kernel.ts";
import { createKernelRows } from "./kernel-rows.ts";
import { createPlainRows } from "./plain-rows.ts";
import { createEncoder, type Encoder } from "./encoder.ts";
import { encodedBytes, scaleOf } from "./quantise.ts";
import { mostDimensions, rowLayout, rowsAt } from "./row-layout.ts";
import type { Rows } from "./rows.ts";
import { beginSearch, dropCandidates, endSearch, type SearchState } from "./search-state.ts";
import { turns as turnsOfProcess, type Turns } from "../turns.ts";
import type { Candidates, VectorIndex } from "./vector-index.ts";

export interface VectorIndexOptions {
  /** Whether the kernel scans; default where the machine has WebAssembly SIMD. Plain JavaScript finds the same. */
  readonly simd?: boolean;
  /** Default: shared by the process. */
  readonly turns?: Turns;
  /** Rows beyond this go to another memory; default 1 GiB. */
  readonly memoryBytes?: number;
}

/** A `VectorIndex` that can be read back. */
export interface ExactVectorIndex extends VectorIndex {
  /** One more than the highest slot that was ever set. */
  readonly slotsEnd: number;
  has(slot: number): boolean;
  /** What `setEncoded` would take; undefined for an empty slot. */
  readEncoded(slot: number, into?: Uint8Array): Uint8Array | undefined;
}

/** Between two looks at the clock, some 0.1 ms for the kernel and 2 ms for plain JavaScript. */
const pieceBytes = 1_048_576;
/** A row found by its number is read from anywhere: as long as several beside each other. */
const scattered = 4;
/** A search that writes interrupt has so many candidates to lose. */
const spares = 64;
/** Under writes that never cease a search answers what it then has. */
const mostAttempts = 4;
const mostSlots = 2 ** 31;

/**
 * An index in memory that compares a query with every vector: exact for the quantised vectors, and fast enough for a hundred thousand.
 * A search answers for the moment at which it resolves: what was written while it ran is in the answer.
 */
export function createVectorIndex(dimensions: number, options: VectorIndexOptions = {}): ExactVectorIndex {
  if (!Number.isInteger(dimensions) || dimensions < 1 || dimensions > mostDimensions)
    throw new RangeError(`vector index: expected 1 to ${mostDimensions} dimensions, got ${dimensions}`);
  return new ScannedVectors(dimensions, options);
}

/** Rows beside each other, or those with these slots. */
type Piece =
  | { readonly rows: Rows; readonly slots?: undefined; readonly from: number; readonly to: number }
  | { readonly rows: Rows; readonly slots: Uint32Array };

interface Looking {
  readonly among: Uint32Array | undefined;
  readonly signal: AbortSignal | undefined;
  readonly written: Set<number>;
}

interface Finishing {
  readonly among: Uint32Array | undefined;
  readonly written: ReadonlySet<number>;
  readonly wanted: number;
}

class ScannedVectors implements ExactVectorIndex {
  readonly dimensions: number;
  readonly #layout;
  readonly #turns: Turns;
  readonly #encoder: Encoder;
  readonly #openRows: (firstSlot: number) => Rows;
  readonly #rowsPerMemory: number;
  readonly #memories: Rows[] = [];
  /** The slots written since each search that is on its way began. */
  readonly #searches = new Set<Set<number>>();
  #size = 0;
  #slotsEnd = 0;

  constructor(dimensions: number, { simd, turns, memoryBytes = 2 ** 30 }: VectorIndexOptions) {
    this.dimensions = dimensions;
    const layout = rowLayout(dimensions);
    this.#layout = layout;
    this.#turns = turns ?? turnsOfProcess;
    this.#encoder = createEncoder({ simd });
    this.#rowsPerMemory = Math.max(1, Math.floor((memoryBytes - rowsAt) / layout.strideBytes));
    this.#openRows =
      (simd ?? hasKernel())
        ? (firstSlot) => createKernelRows(layout, firstSlot, memoryBytes)
        : (firstSlot) => createPlainRows(layout, firstSlot);
  }

  get size(): number {
    return this.#size;
  }

  get slotsEnd(): number {
    return this.#slotsEnd;
  }

  set(slot: number, vector: Float32Array): void {
    this.setEncoded(slot, this.encode(vector));
  }

  setEncoded(slot: number, encoded: Uint8Array): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= mostSlots)
      throw new RangeError(`vector index: expected a slot from 0 below 2^31, got ${slot}`);
    if (encoded.length !== encodedBytes(this.dimensions))
      throw new RangeError(
        `vector index: expected ${encodedBytes(this.dimensions)} bytes for ${this.dimensions} dimensions, got ${encoded.length}`,
      );
    const scale = scaleOf(encoded);
    if (!(scale > 0 && scale < Infinity))
      throw new RangeError(`vector index: expected a positive scale, got ${scale}`);
    const { rows, row } = this.#reserve(slot);
    // Memory that is read before it is first written takes the system twice as long to give, and the other processors an interruption.
    const isNew = slot >= this.#slotsEnd || rows.readScale(row) === 0;
    rows.write(row, encoded.subarray(encodedBytes(0)), scale);
    if (isNew) this.#size += 1;
    this.#slotsEnd = Math.max(this.#slotsEnd, slot + 1);
    this.#tell(slot);
  }

  encode(vector: Float32Array, into: Uint8Array = new Uint8Array(encodedBytes(this.dimensions))): Uint8Array {
    this.#check(vector);
    this.#encoder(vector, into);
    return into;
  }

  remove(slot: number): void {
    if (!this.has(slot)) return;
    const { rows, row } = this.#find(slot);
    rows?.clear(row);
    this.#size -= 1;
    this.#tell(slot);
  }

  has(slot: number): boolean {
    if (!(slot >= 0 && slot < this.#slotsEnd)) return false;
    const { rows, row } = this.#find(slot);
    return rows !== undefined && row < rows.capacity && rows.readScale(row) !== 0;
  }

  readEncoded(slot: number, into?: Uint8Array): Uint8Array | undefined {
    if (!this.has(slot)) return undefined;
    const { rows, row } = this.#find(slot);
    if (rows === undefined) return undefined;
    const encoded = into ?? new Uint8Array(encodedBytes(this.dimensions));
    new DataView(encoded.buffer, encoded.byteOffset).setFloat32(0, rows.readScale(row), true);
    encoded.set(rows.readValues(row), 4);
    return encoded;
  }

  async nearest(
    query: Float32Array,
    count: number,
    { among, signal }: { among?: Uint32Array; signal?: AbortSignal } = {},
  ): Promise<Candidates> {
    this.#check(query);
    signal?.throwIfAborted();
    const wanted = Math.min(Math.max(0, Math.floor(count)), among?.length ?? Infinity, this.#slotsEnd);
    if (wanted === 0) return endSearch(beginSearch(query, 0, this.#layout), 0);
    const written = new Set<number>();
    for (let attempt = 1; ; attempt++) {
      const state = beginSearch(query, wanted + this.#sparesFor(among), this.#layout);
      await this.#look(state, { among, signal, written });
      if (this.#bringUpToDate(state, { among, written, wanted }) || attempt === mostAttempts)
        return endSearch(state, wanted);
    }
  }

  /** Looks at all rows, and notes in `written` what is written meanwhile. */
  async #look(state: SearchState, { among, signal, written }: Looking): Promise<void> {
    written.clear();
    try {
      for (const piece of this.#pieces(among)) {
        if (this.#turns.isOver()) {
          this.#searches.add(written);
          await this.#turns.next();
          signal?.throwIfAborted();
        }
        if (piece.slots === undefined) piece.rows.scan(state, piece.from, piece.to);
        else piece.rows.pick(state, piece.slots);
      }
    } finally {
      this.#searches.delete(written);
    }
  }

  /** Looks again at what was written meanwhile; false when so many candidates were lost that better ones may have been missed. */
  #bringUpToDate(state: SearchState, { among, written, wanted }: Finishing): boolean {
    if (written.size === 0) return true;
    const wasFull = state.size === state.count;
    dropCandidates(state, (slot) => written.has(slot));
    const isComplete = !wasFull || state.size >= wanted;
    const slots = Uint32Array.from(written).toSorted();
    const again = among === undefined ? slots : slots.filter((slot) => isIn(among, slot));
    for (const piece of this.#pieces(again))
      if (piece.slots !== undefined) piece.rows.pick(state, piece.slots);
    return isComplete;
  }

  *#pieces(among: Uint32Array | undefined): Generator<Piece> {
    const perMemory = this.#rowsPerMemory;
    const step = Math.max(64, Math.floor(pieceBytes / this.#layout.strideBytes));
    const pickStep = Math.floor(step / scattered);
    // The memories and their rows may become more between two pieces.
    for (let number = 0; number < this.#memories.length; number++) {
      const rows = this.#memories[number];
      if (rows === undefined) continue;
      const first = number * perMemory;
      const end = (): number => Math.min(perMemory, rows.capacity, this.#slotsEnd - first);
      if (among === undefined) {
        for (let from = 0; from < end(); from += step) yield { rows, from, to: Math.min(from + step, end()) };
      } else {
        const last = firstAtLeast(among, first + end());
        for (let from = firstAtLeast(among, first); from < last; from += pickStep)
          yield { rows, slots: among.subarray(from, Math.min(from + pickStep, last)) };
      }
    }
  }

  #sparesFor(among: Uint32Array | undefined): number {
    return (among?.length ?? this.#slotsEnd) * this.#layout.strideBytes > 8 * pieceBytes ? spares : 0;
  }

  #find(slot: number): { rows: Rows | undefined; row: number } {
    const number = Math.floor(slot / this.#rowsPerMemory);
    return { rows: this.#memories[number], row: slot - number * this.#rowsPerMemory };
  }

  /** Room grows by a quarter, so that many writes grow it seldom. */
  #reserve(slot: number): { rows: Rows; row: number } {
    const number = Math.floor(slot / this.#rowsPerMemory);
    const row = slot - number * this.#rowsPerMemory;
    for (let next = this.#memories.length; next <= number; next++)
      this.#memories.push(this.#openRows(next * this.#rowsPerMemory));
    const rows = this.#memories[number];
    if (rows === undefined) throw new TypeError(`vector index: no memory for slot ${slot}`);
    if (row >= rows.capacity)
      rows.reserve(Math.min(this.#rowsPerMemory, Math.max(row + 1, Math.ceil(rows.capacity * 1.25))));
    return { rows, row };
  }

  #tell(slot: number): void {
    for (const written of this.#searches) written.add(slot);
  }

  #check(vector: Float32Array): void {
    if (vector.length !== this.dimensions)
      throw new RangeError(
        `vector index: expected ${this.dimensions} dimensions, got a vector of ${vector.length}`,
      );
  }
}

function isIn(among: Uint32Array, slot: number): boolean {
  return among[firstAtLeast(among, slot)] === slot;
}

/** The first place in an ascending list whose slot is not below `slot`. */
function firstAtLeast(slots: Uint32Array, slot: number): number {
  let from = 0;
  let to = slots.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((slots[middle] ?? 0) < slot) from = middle + 1;
    else to = middle;
  }
  return from;
}
