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

/** The page in which a word of the shelf is, if it is anywhere; its bytes are good until the next read or write. */
export function readPage(tables: WordTables, shelf: number, word: string): StoredPage | undefined {
  const entry = tables.first(["words", shelf, word], ["words", shelf + 1]);
  return entry && { upTo: String(entry.key[2]), bytes: entry.value };
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

// A page that gets very many words, such as the first of a shelf, gets them a few at a time.
const wordsAtOnce = 512;

/** Writes what was noted for a shelf, each page once; yields after each. */
export function* writePages(tables: WordTables, shelf: number, noted: NotedWords): Generator<void> {
  const parts = noted.sorted();
  let numbers: readonly number[] = [];
  for (;;) {
    const [first] = numbers;
    if (first === undefined) {
      const part = parts.next();
      if (part.done === true) return;
      numbers = part.value;
      yield;
      continue;
    }
    const page = readPage(tables, shelf, noted.word(first)) ?? { upTo: lastBound, bytes: new Uint8Array() };
    let end = endOfPage(noted, numbers, page.upTo);
    while (end === numbers.length && end < wordsAtOnce) {
      const part = parts.next();
      if (part.done === true) break;
      numbers = [...numbers, ...part.value];
      end = endOfPage(noted, numbers, page.upTo);
    }
    end = Math.min(end, wordsAtOnce);
    const written = rewritePage(page.bytes, noted, numbers.slice(0, end));
    for (const part of written) tables.put(["words", shelf, part.upTo ?? page.upTo], part.bytes);
    if (written.length === 0 && page.bytes.length > 0) tables.remove(["words", shelf, page.upTo]);
    numbers = numbers.slice(end);
    yield;
  }
}

const encoder = new TextEncoder();

/** How many of the words belong to the page. */
function endOfPage(noted: NotedWords, numbers: readonly number[], upTo: string): number {
  if (upTo === lastBound) return numbers.length;
  const bound = encoder.encode(upTo);
  const isWithin = (number: number | undefined): boolean =>
    number !== undefined &&
    compareBytes(noted.bytes, noted.start(number), noted.end(number), bound, 0, bound.length) <= 0;
  if (isWithin(numbers.at(-1))) return numbers.length;
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isWithin(numbers[middle])) low = middle + 1;
    else high = middle;
  }
  return low;
}
