import { compareBytes } from "./compare-bytes.ts";
import type { NotedWords } from "./noted-words.ts";
import type { WordTables } from "./word-index.ts";
import { PageCursor, rewritePage } from "./word-page.ts";

// Pages are keyed by the last word that belongs to them, so that a word's page is the first key from the word on. The last page of a shelf
// takes whatever comes: no word is greater than this one, which is no character.
const lastBound = "\u{10ffff}";

export interface StoredPage {
  readonly upTo: string;
  readonly bytes: Uint8Array;
}

/** The page in which a word of the shelf is, if it is anywhere. */
export function readPage(tables: WordTables, shelf: number, word: string): StoredPage | undefined {
  for (const { key, value } of tables.range(["words", shelf, word], ["words", shelf + 1]))
    return { upTo: String(key[2]), bytes: value };
  return undefined;
}

/** The page after another one of the shelf; undefined after the last. */
export function readPageAfter(tables: WordTables, shelf: number, page: StoredPage): StoredPage | undefined {
  if (page.upTo === lastBound) return undefined;
  // The smallest text after the bound that is smaller than any word after it: "!" comes before letters and digits.
  return readPage(tables, shelf, `${page.upTo}!`);
}

/** A cursor on the word; undefined where the shelf does not have it. Read it before the next write. */
export function findWord(page: StoredPage | undefined, word: Uint8Array): PageCursor | undefined {
  if (page === undefined) return undefined;
  const cursor = new PageCursor(page.bytes);
  while (cursor.next()) {
    const order = cursor.compare(word);
    if (order === 0) return cursor;
    if (order > 0) return undefined;
  }
  return undefined;
}

/** Writes what was noted for a shelf, each page once. */
export function writePages(tables: WordTables, shelf: number, noted: NotedWords): void {
  const numbers = noted.sorted();
  for (let at = 0; at < numbers.length;) {
    const word = noted.word(numbers[at] ?? 0);
    const page = readPage(tables, shelf, word) ?? { upTo: lastBound, bytes: new Uint8Array() };
    const end = endOfPage(noted, numbers, at, page.upTo);
    const parts = rewritePage(page.bytes, noted, numbers.subarray(at, end));
    for (const part of parts) tables.put(["words", shelf, part.upTo ?? page.upTo], part.bytes);
    if (parts.length === 0 && page.bytes.length > 0) tables.remove(["words", shelf, page.upTo]);
    at = end;
  }
}

const encoder = new TextEncoder();

/** Behind the last of the words from `start` on that belong to a page. */
function endOfPage(noted: NotedWords, numbers: Uint32Array, start: number, upTo: string): number {
  if (upTo === lastBound) return numbers.length;
  const bound = encoder.encode(upTo);
  const isBeyond = (number: number): boolean =>
    compareBytes(noted.bytes, noted.start(number), noted.end(number), bound, 0, bound.length) > 0;
  let end = start;
  while (end < numbers.length && !isBeyond(numbers[end] ?? 0)) end++;
  return end;
}
