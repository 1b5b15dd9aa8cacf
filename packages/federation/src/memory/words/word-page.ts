import { ByteWriter } from "./byte-writer.ts";
import { compareBytes } from "./compare-bytes.ts";
import type { NotedWords } from "./noted-words.ts";
import { changePostings, decodePostings, encodePostings, Postings } from "./posting-list.ts";

// A value of lmdb beyond half a page takes whole pages of 4,096 bytes, of which 16 are its own; some are left for whoever wraps the value.
const largestPage = 4000;
// What is split was growing and will go on: the parts get room.
const partBytes = 2900;

const decoder = new TextDecoder();

/**
 * Walks through a page: words of one shelf in the order of their UTF-8 bytes, each as the length of its bytes, the bytes, the number of
 * its documents, the length of its postings, the postings.
 */
export class PageCursor {
  readonly bytes: Uint8Array;
  /** Of the entry that the cursor stands on. */
  entryStart = 0;
  wordStart = 0;
  wordEnd = 0;
  documents = 0;
  postingsStart = 0;
  postingsEnd = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** False at the end. */
  next(): boolean {
    if (this.postingsEnd >= this.bytes.length) return false;
    this.entryStart = this.#at = this.postingsEnd;
    const wordBytes = this.#number();
    this.wordStart = this.#at;
    this.wordEnd = this.#at += wordBytes;
    this.documents = this.#number();
    const postingBytes = this.#number();
    this.postingsStart = this.#at;
    this.postingsEnd = this.#at + postingBytes;
    return true;
  }

  /** Below zero when the word that the cursor stands on comes before the one given as bytes. */
  compare(bytes: Uint8Array, start: number = 0, end: number = bytes.length): number {
    return compareBytes(this.bytes, this.wordStart, this.wordEnd, bytes, start, end);
  }

  startsWith(prefix: Uint8Array): boolean {
    if (this.wordEnd - this.wordStart < prefix.length) return false;
    for (let index = 0; index < prefix.length; index++)
      if (this.bytes[this.wordStart + index] !== prefix[index]) return false;
    return true;
  }

  word(): string {
    return decoder.decode(this.bytes.subarray(this.wordStart, this.wordEnd));
  }

  #at = 0;

  #number(): number {
    let byte = this.bytes[this.#at++] ?? 0;
    let value = byte & 0x7f;
    for (let shift = 7; byte > 0x7f; shift += 7) {
      byte = this.bytes[this.#at++] ?? 0;
      value |= (byte & 0x7f) << shift;
    }
    return value;
  }
}

export interface PagePart {
  /** The last word of the part; undefined for the last part, which keeps the page's own bound. */
  readonly upTo: string | undefined;
  readonly bytes: Uint8Array;
}

// Reused for every word and page: a flush meets tens of thousands.
const before = new Postings();
const changes = new Postings();
const after = new Postings();
const output = new ByteWriter();
const list = new ByteWriter();

/**
 * The page after what was noted of the words with these numbers, which are in the order of the words. More than one part when it has outgrown
 * a page, none when nothing is left.
 */
export function rewritePage(
  page: Uint8Array,
  noted: NotedWords,
  numbers: readonly number[],
): readonly PagePart[] {
  const cursor = new PageCursor(page);
  output.clear();
  let copied = 0; // how much of the page is in the output or no longer holds
  let hasEntry = cursor.next();
  for (const number of numbers) {
    let order = 1;
    while (hasEntry && (order = cursor.compare(noted.bytes, noted.start(number), noted.end(number))) < 0)
      hasEntry = cursor.next();
    const end = hasEntry ? cursor.entryStart : page.length;
    output.bytes(page, copied, end);
    copied = end;
    before.length = 0;
    if (hasEntry && order === 0) {
      decodePostings(page, cursor.postingsStart, cursor.postingsEnd, before);
      copied = cursor.postingsEnd;
      hasEntry = cursor.next();
    }
    noted.readChanges(number, changes);
    changePostings(before, changes, after);
    if (after.length > 0) writeEntry(noted, number);
  }
  output.bytes(page, copied, page.length);
  return split();
}

function writeEntry(noted: NotedWords, number: number): void {
  list.clear();
  encodePostings(after, list);
  output.number(noted.end(number) - noted.start(number));
  output.bytes(noted.bytes, noted.start(number), noted.end(number));
  output.number(after.length);
  output.number(list.length);
  output.bytes(list.written, 0, list.length);
}

function split(): PagePart[] {
  if (output.length === 0) return [];
  const last = (start: number): PagePart => ({ upTo: undefined, bytes: output.copy(start, output.length) });
  if (output.length <= largestPage) return [last(0)];
  const parts: PagePart[] = [];
  const cursor = new PageCursor(output.written.subarray(0, output.length));
  let start = 0;
  let [wordStart, wordEnd] = [0, 0];
  while (cursor.next()) {
    // A word whose postings are larger than a part has a page of its own.
    if (cursor.postingsEnd - start > partBytes && cursor.entryStart > start) {
      const upTo = decoder.decode(cursor.bytes.subarray(wordStart, wordEnd));
      parts.push({ upTo, bytes: output.copy(start, cursor.entryStart) });
      start = cursor.entryStart;
    }
    ({ wordStart, wordEnd } = cursor);
  }
  return [...parts, last(start)];
}
