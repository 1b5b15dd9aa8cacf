import type { Postings } from "./posting-list.ts";
import { compareBytes } from "./compare-bytes.ts";
import { eachWord } from "./words-of.ts";

// Of a word: where its bytes start, how many, their hash, its first and its last change.
const wordFields = 5;
// Of a change: place, count, and the next change of the same word.
const changeFields = 3;
const none = -1;
// Less than a millisecond each.
const sortedAtOnce = 256;
const dealtAtOnce = 8_192;

const decoder = new TextDecoder();

/**
 * What was added to and removed from one shelf since the last flush. A hash table over plain numbers: with strings and a Map, of which a batch of
 * a thousand contents makes tens of thousands, indexing took three times as long.
 */
export class NotedWords {
  /** How many different words; they are numbered from 0 in the order of their first appearance. */
  size = 0;
  #bytes: Uint8Array = new Uint8Array(1024);
  #bytesLength = 0;
  #words = new Int32Array(64 * wordFields);
  #changes = new Int32Array(64 * changeFields);
  #changesLength = 0;
  /** Numbers of words by their hash, plus one; 0 is free. A power of two, at most half full. */
  #table = new Int32Array(256);

  /** Answers how many words the content has. */
  add(place: number, content: string): number {
    let words = 0;
    eachWord(content, (bytes, start, end) => {
      words++;
      const change = this.#changeOf(this.#number(bytes, start, end), place);
      this.#changes[change + 1] = (this.#changes[change + 1] ?? 0) + 1;
    });
    return words;
  }

  remove(place: number, content: string): void {
    eachWord(content, (bytes, start, end) => {
      const change = this.#changeOf(this.#number(bytes, start, end), place);
      this.#changes[change + 1] = 0;
    });
  }

  /** The word's number; undefined when nothing was noted of it. */
  find(word: Uint8Array): number | undefined {
    const number = (this.#table[this.#place(word, 0, word.length, hashOf(word, 0, word.length))] ?? 0) - 1;
    return number === none ? undefined : number;
  }

  startingWith(prefix: Uint8Array): number[] {
    const numbers: number[] = [];
    for (let number = 0; number < this.size; number++) {
      const end = Math.min(this.end(number), this.start(number) + prefix.length);
      if (compareBytes(this.#bytes, this.start(number), end, prefix, 0, prefix.length) === 0)
        numbers.push(number);
    }
    return numbers;
  }

  /** UTF-8 of all words; a view of its own for each would cost more than everything else that is done with it. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Where in `bytes` the word is. */
  start(number: number): number {
    return this.#field(number, 0);
  }

  end(number: number): number {
    return this.#field(number, 0) + this.#field(number, 1);
  }

  word(number: number): string {
    return decoder.decode(this.#bytes.subarray(this.start(number), this.end(number)));
  }

  /** What was noted of the word: the last count of each place, in the order of places. */
  readChanges(number: number, into: Postings): void {
    into.length = 0;
    let before = none;
    for (let at = this.#field(number, 3); at !== none; at = this.#changes[at + 2] ?? none) {
      const place = this.#changes[at] ?? 0;
      if (place <= before) return this.#sortChanges(number, into);
      into.push(place, this.#changes[at + 1] ?? 0);
      before = place;
    }
  }

  /** New slots come in order; this is for the others. */
  #sortChanges(number: number, into: Postings): void {
    const counts = new Map<number, number>();
    for (let at = this.#field(number, 3); at !== none; at = this.#changes[at + 2] ?? none)
      counts.set(this.#changes[at] ?? 0, this.#changes[at + 1] ?? 0);
    into.length = 0;
    for (const [place, count] of [...counts].sort(([a], [b]) => a - b)) into.push(place, count);
  }

  /**
   * The numbers of the words in the order of their bytes, in parts, each sorted only when it is asked for, because sorting all takes tens of
   * milliseconds. A part may be empty: then there was something else to do.
   */
  *sorted(): Generator<readonly number[]> {
    yield* this.#sortedFrom(
      0,
      Array.from({ length: this.size }, (_, number) => number),
    );
  }

  /** Of words that are alike before `offset`: by the next two bytes, until few are left that begin alike. */
  *#sortedFrom(offset: number, numbers: number[]): Generator<readonly number[]> {
    if (numbers.length <= sortedAtOnce) return yield numbers.sort((a, b) => this.#compare(a, b));
    const parts = new Map<number, number[]>();
    for (const [at, number] of numbers.entries()) {
      const beginning = this.#byteFrom(number, offset) * 257 + this.#byteFrom(number, offset + 1);
      const part = parts.get(beginning);
      if (part === undefined) parts.set(beginning, [number]);
      else part.push(number);
      if (at % dealtAtOnce === dealtAtOnce - 1) yield [];
    }
    for (const [, part] of [...parts].sort(([a], [b]) => a - b)) yield* this.#sortedFrom(offset + 2, part);
  }

  /** One more than the byte; 0 behind the word's end, which comes first. */
  #byteFrom(number: number, offset: number): number {
    const at = this.start(number) + offset;
    return at < this.end(number) ? (this.#bytes[at] ?? 0) + 1 : 0;
  }

  #compare(a: number, b: number): number {
    return compareBytes(this.#bytes, this.start(a), this.end(a), this.#bytes, this.start(b), this.end(b));
  }

  #field(number: number, field: number): number {
    return this.#words[number * wordFields + field] ?? 0;
  }

  /** The word's number, a new one if it has none. */
  #number(bytes: Uint8Array, start: number, end: number): number {
    const hash = hashOf(bytes, start, end);
    const place = this.#place(bytes, start, end, hash);
    const known = this.#table[place] ?? 0;
    if (known !== 0) return known - 1;
    const number = this.size++;
    this.#table[place] = this.size;
    const at = number * wordFields;
    if (at === this.#words.length) this.#words = doubled(this.#words);
    this.#words.set([this.#bytesLength, end - start, hash, none, none], at);
    this.#keepBytes(bytes, start, end);
    if (this.size * 2 > this.#table.length) this.#enlargeTable();
    return number;
  }

  #keepBytes(bytes: Uint8Array, start: number, end: number): void {
    if (this.#bytesLength + end - start > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#bytes.length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    for (let at = start; at < end; at++) this.#bytes[this.#bytesLength++] = bytes[at] ?? 0;
  }

  /** Where in the table the word is or would be. */
  #place(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const mask = this.#table.length - 1;
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const number = (this.#table[place] ?? 0) - 1;
      if (number === none || (this.#field(number, 2) === hash && this.#isWord(number, bytes, start, end)))
        return place;
    }
  }

  #isWord(number: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#field(number, 1) !== end - start) return false;
    const own = this.#field(number, 0);
    for (let index = 0; index < end - start; index++)
      if (this.#bytes[own + index] !== bytes[start + index]) return false;
    return true;
  }

  #enlargeTable(): void {
    this.#table = new Int32Array(4 * this.#table.length);
    const mask = this.#table.length - 1;
    for (let number = 0; number < this.size; number++) {
      let place = this.#field(number, 2) & mask;
      while (this.#table[place] !== 0) place = (place + 1) & mask;
      this.#table[place] = number + 1;
    }
  }

  /** Where the change of the word at the place is: the last one noted of the word, or a new one of count 0. */
  #changeOf(number: number, place: number): number {
    const word = number * wordFields;
    const last = this.#words[word + 4] ?? none;
    if (last !== none && this.#changes[last] === place) return last;
    const change = this.#changesLength;
    if (change === this.#changes.length) this.#changes = doubled(this.#changes);
    this.#changes[change] = place;
    this.#changes[change + 1] = 0;
    this.#changes[change + 2] = none;
    this.#changesLength += changeFields;
    if (last === none) this.#words[word + 3] = change;
    else this.#changes[last + 2] = change;
    this.#words[word + 4] = change;
    return change;
  }
}

/** FNV-1a, with a last step that brings the high bits down: the table looks at the low ones. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return hash ^ (hash >>> 15);
}

function doubled(numbers: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * numbers.length);
  larger.set(numbers);
  return larger;
}
