import { ByteWriter } from "./byte-writer.ts";
import type { PostingChanges } from "./posting-list.ts";
import { changePostings, decodePostings, encodePostings, Postings } from "./posting-list.ts";

// A value of lmdb beyond half a page takes whole pages of 4,096 bytes, of which 16 are its own; some are left for whoever wraps the value.
const largestPage = 4000;
// What is split was growing and will go on: the parts get room.
const partBytes = 2900;

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

  /** Below zero when the word that the cursor stands on comes before `word`. */
  compare(word: Uint8Array): number {
    const length = Math.min(this.wordEnd - this.wordStart, word.length);
    for (let index = 0; index < length; index++) {
      const difference = (this.bytes[this.wordStart + index] ?? 0) - (word[index] ?? 0);
      if (difference !== 0) return difference;
    }
    return this.wordEnd - this.wordStart - word.length;
  }

  startsWith(prefix: Uint8Array): boolean {
    if (this.wordEnd - this.wordStart < prefix.length) return false;
    return prefix.every((byte, index) => this.bytes[this.wordStart + index] === byte);
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

export interface WordChange {
  readonly word: string;
  readonly changes: PostingChanges;
}

export interface PagePart {
  /** The last word of the part; undefined for the last part, which keeps the page's own bound. */
  readonly upTo: string | undefined;
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Reused for every word and page: a flush meets tens of thousands. */
const before = new Postings();
const after = new Postings();
const output = new ByteWriter();
const list = new ByteWriter();

/** The page after the changes, which are sorted by the words' UTF-8 bytes. More than one part when it has outgrown a page, none when nothing is left. */
export function rewritePage(page: Uint8Array, changed: readonly WordChange[]): readonly PagePart[] {
  const cursor = new PageCursor(page);
  const entries: number[] = []; // where each entry of the output starts
  output.clear();
  let hasEntry = cursor.next();
  for (const { word, changes } of changed) {
    const wordBytes = encoder.encode(word);
    let order = hasEntry ? cursor.compare(wordBytes) : 1;
    while (hasEntry && order < 0) {
      entries.push(output.length);
      output.bytes(page, cursor.entryStart, cursor.postingsEnd);
      hasEntry = cursor.next();
      order = hasEntry ? cursor.compare(wordBytes) : 1;
    }
    before.length = 0;
    if (hasEntry && order === 0) {
      decodePostings(page, cursor.postingsStart, cursor.postingsEnd, before);
      hasEntry = cursor.next();
    }
    changePostings(before, changes, after);
    if (after.length === 0) continue;
    entries.push(output.length);
    writeEntry(wordBytes);
  }
  while (hasEntry) {
    entries.push(output.length);
    output.bytes(page, cursor.entryStart, cursor.postingsEnd);
    hasEntry = cursor.next();
  }
  return split(entries);
}

function writeEntry(wordBytes: Uint8Array): void {
  list.clear();
  encodePostings(after, list);
  output.number(wordBytes.length);
  output.bytes(wordBytes);
  output.number(after.length);
  output.number(list.length);
  output.bytes(list.view());
}

function split(entries: readonly number[]): PagePart[] {
  if (output.length === 0) return [];
  if (output.length <= largestPage) return [{ upTo: undefined, bytes: output.copy(0, output.length) }];
  const parts: PagePart[] = [];
  let start = 0;
  for (let index = 1; index < entries.length; index++) {
    const entry = entries[index] ?? 0;
    const end = entries[index + 1] ?? output.length;
    // A word whose postings are larger than a part has a page of its own.
    if (end - start <= partBytes) continue;
    parts.push({ upTo: wordAt(entries[index - 1] ?? 0), bytes: output.copy(start, entry) });
    start = entry;
  }
  parts.push({ upTo: undefined, bytes: output.copy(start, output.length) });
  return parts;
}

function wordAt(entry: number): string {
  const cursor = new PageCursor(output.view().subarray(entry));
  cursor.next();
  return decoder.decode(cursor.bytes.subarray(cursor.wordStart, cursor.wordEnd));
}
