import type { ExactVectorIndex } from "../create-vector-index.ts";
import { encodedBytes } from "../quantise.ts";
import { rowHash } from "./row-hash.ts";
import type { RowBatch } from "./segment-messages.ts";

/** Reading and sending them takes a millisecond or two of the event loop, beside what writers and tables take of the same turn. */
const rowsInBatch = 128;

/** The rows of a segment that is being built: given away in batches, as they are by then, while writes go on. */
export class RowsToSeal {
  readonly span: { readonly firstSlot: number; readonly slots: number };
  /** For each slot from the first on the hash of what was given away; 0 for nothing. */
  readonly hashes: Uint32Array;
  readonly #slots: Uint32Array;
  readonly #index: ExactVectorIndex;
  readonly #changed = new Set<number>();
  #given = 0;
  #rows = 0;

  /** `slots` ascending. */
  constructor(slots: Uint32Array, index: ExactVectorIndex) {
    const firstSlot = slots[0] ?? 0;
    this.span = { firstSlot, slots: slots.length === 0 ? 0 : (slots.at(-1) ?? 0) - firstSlot + 1 };
    this.hashes = new Uint32Array(this.span.slots);
    this.#slots = slots;
    this.#index = index;
  }

  /** How many rows were given away. */
  get rows(): number {
    return this.#rows;
  }

  /** Undefined when there are no more. */
  nextBatch(): Extract<RowBatch, { type: "rows" }> | undefined {
    const { dimensions } = this.#index;
    const slots = new Uint32Array(rowsInBatch);
    const hashes = new Uint32Array(rowsInBatch);
    const values = new Int8Array(rowsInBatch * dimensions);
    const room = new Uint8Array(encodedBytes(dimensions));
    let size = 0;
    while (size < rowsInBatch && this.#given < this.#slots.length) {
      const slot = this.#slots[this.#given++] ?? 0;
      const encoded = this.#index.readEncoded(slot, room);
      if (encoded === undefined) continue; // removed since the build began
      slots[size] = slot;
      hashes[size] = rowHash(encoded);
      values.set(new Int8Array(room.buffer, encodedBytes(0)), size * dimensions);
      this.hashes[slot - this.span.firstSlot] = hashes[size] ?? 0;
      size += 1;
    }
    this.#rows += size;
    if (size === 0) return undefined;
    return {
      type: "rows",
      slots: slots.slice(0, size),
      hashes: hashes.slice(0, size),
      values: values.slice(0, size * dimensions),
    };
  }

  written(slot: number, encoded: Uint8Array): void {
    const given = this.#givenHash(slot);
    if (given === 0) return;
    if (given === rowHash(encoded)) this.#changed.delete(slot);
    else this.#changed.add(slot);
  }

  removed(slot: number): void {
    if (this.#givenHash(slot) !== 0) this.#changed.add(slot);
  }

  /** Whether the slot has the row that was given away. */
  isUnchanged(slot: number): boolean {
    return this.#givenHash(slot) !== 0 && !this.#changed.has(slot);
  }

  #givenHash(slot: number): number {
    return this.hashes[slot - this.span.firstSlot] ?? 0;
  }
}
