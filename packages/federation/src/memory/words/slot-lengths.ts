import { ByteWriter } from "./byte-writer.ts";
import { shelfSlots } from "./posting-list.ts";
import type { WordTables } from "./word-index.ts";

/** How many words each slot's content has, 0 where there is none; held in the heap, four bytes a slot, and kept in the tables by shelves. */
export class SlotLengths {
  /** How many slots have words, and how many words they have together. */
  documents = 0;
  words = 0;
  readonly #tables: WordTables;
  readonly #changed = new Set<number>();
  #lengths: Uint32Array = new Uint32Array(shelfSlots);
  /** Documents of each shelf. */
  readonly #shelves: number[] = [];

  constructor(tables: WordTables) {
    this.#tables = tables;
    for (const { key, value } of tables.range(["lengths"], ["lengths", Number.MAX_SAFE_INTEGER]))
      this.#read(Number(key[1]), value);
  }

  get(slot: number): number {
    return this.#lengths[slot] ?? 0;
  }

  /** Of the slots of a shelf, as a view that the next change may alter. */
  ofShelf(shelf: number): Uint32Array {
    return this.#lengths.subarray(shelf * shelfSlots, (shelf + 1) * shelfSlots);
  }

  set(slot: number, words: number): void {
    this.learn(slot, words);
    this.#changed.add(Math.floor(slot / shelfSlots));
  }

  /** What the tables have already. */
  learn(slot: number, words: number): void {
    if (slot >= this.#lengths.length) {
      const larger = new Uint32Array(
        Math.max(Math.ceil((slot + 1) / shelfSlots) * shelfSlots, this.#lengths.length * 1.5),
      );
      larger.set(this.#lengths);
      this.#lengths = larger;
    }
    const before = this.get(slot);
    const shelf = Math.floor(slot / shelfSlots);
    const documents = Number(words > 0) - Number(before > 0);
    this.#lengths[slot] = words;
    this.documents += documents;
    this.words += words - before;
    while (this.#shelves.length <= shelf) this.#shelves.push(0);
    this.#shelves[shelf] = (this.#shelves[shelf] ?? 0) + documents;
  }

  /** Shelves that hold documents, ascending. */
  shelves(): number[] {
    return [...this.#shelves.keys()].filter((shelf) => (this.#shelves[shelf] ?? 0) > 0);
  }

  flush(): void {
    for (const shelf of this.#changed) {
      const key = ["lengths", shelf];
      if ((this.#shelves[shelf] ?? 0) === 0) this.#tables.remove(key);
      else this.#tables.put(key, this.#written(shelf));
    }
    this.#changed.clear();
  }

  #read(shelf: number, bytes: Uint8Array): void {
    let at = 0;
    for (let place = 0; at < bytes.length; place++) {
      let byte = bytes[at++] ?? 0;
      let value = byte & 0x7f;
      for (let shift = 7; byte > 0x7f; shift += 7) {
        byte = bytes[at++] ?? 0;
        value |= (byte & 0x7f) << shift;
      }
      if (value > 0) this.learn(shelf * shelfSlots + place, value);
    }
  }

  #written(shelf: number): Uint8Array {
    const writer = new ByteWriter();
    const start = shelf * shelfSlots;
    for (let slot = start; slot < start + shelfSlots; slot++) writer.number(this.get(slot));
    return writer.copy(0, writer.length);
  }
}
