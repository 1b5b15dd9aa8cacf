import { BestSlots } from "./best-slots.ts";
import { ByteWriter } from "./byte-writer.ts";
import type { NotedWords } from "./noted-words.ts";
import { changePostings, decodePostings, encodePostings, Postings, shelfSlots } from "./posting-list.ts";
import type { SlotLengths } from "./slot-lengths.ts";
import type { WordMatch, WordTables } from "./word-index.ts";
import { PageCursor } from "./word-page.ts";
import { findWord, readPage, readPageAfter } from "./word-pages.ts";

// The usual values: how soon further occurrences stop counting, and how much the length of a content counts.
const k1 = 1.2;
const b = 0.75;
// A word that only begins like the last one of the text is half a match.
const longerWordWeight = 0.5;
// `admits` may read a row for each slot.
const admittedBetweenPauses = 16;

export interface RankInput {
  readonly tables: WordTables;
  readonly lengths: SlotLengths;
  /** By shelf. */
  readonly noted: ReadonlyMap<number, NotedWords>;
  /** Distinct, at least one. Words that begin with the last and are longer match too, as if they were one word, at half the weight. */
  readonly words: readonly string[];
  readonly last: string;
  readonly count: number;
  readonly admits: (slot: number) => boolean;
}

/** One word, or all longer words that begin like the last: where it occurs. */
interface Term {
  readonly weight: number;
  documents: number;
  /** By shelf: encoded postings. */
  readonly lists: Map<number, Uint8Array>;
}

/**
 * The best slots by BM25. Yields wherever a pause would do, after a fraction of a millisecond each. First reads where the words occur, because
 * the weight of a word depends on how many documents have it anywhere; then scores shelf by shelf.
 */
export function* rankWords(input: RankInput): Generator<void, WordMatch[]> {
  const shelves = input.lengths.shelves();
  const terms: Term[] = [];
  for (const word of input.words) {
    const term: Term = { weight: 1, documents: 0, lists: new Map() };
    for (const shelf of shelves) {
      readWord(input, shelf, word, term);
      yield;
    }
    terms.push(term);
  }
  const longer: Term = { weight: longerWordWeight, documents: 0, lists: new Map() };
  const counts = new Uint32Array(shelfSlots);
  for (const shelf of shelves) {
    counts.fill(0);
    yield* countLongerWords(input, shelf, counts);
    keepList(countedPostings(counts), shelf, longer);
  }
  terms.push(longer);

  const best = new BestSlots(input.count);
  const scores = new Float64Array(shelfSlots);
  for (const shelf of shelves) {
    scores.fill(0);
    for (const term of terms) {
      scoreTerm(input.lengths, shelf, term, scores);
      yield;
    }
    yield* offerShelf(input, shelf, scores, best);
  }
  return best.bestFirst();
}

// Shared by all searches: each uses them up between two pauses.
const stored = new Postings();
const changes = new Postings();
const current = new Postings();
const writer = new ByteWriter();
const encoder = new TextEncoder();

function readWord({ tables, noted }: RankInput, shelf: number, word: string, term: Term): void {
  const bytes = encoder.encode(word);
  const found = findWord(readPage(tables, shelf, word), bytes);
  const shelfNoted = noted.get(shelf);
  const number = shelfNoted?.find(bytes);
  if (shelfNoted !== undefined && number !== undefined)
    keepList(changedPostings(found, shelfNoted, number), shelf, term);
  else if (found !== undefined) {
    term.documents += found.documents;
    term.lists.set(shelf, found.bytes.slice(found.postingsStart, found.postingsEnd));
  }
}

function changedPostings(found: PageCursor | undefined, noted: NotedWords, number: number): Postings {
  stored.length = 0;
  if (found !== undefined) decodePostings(found.bytes, found.postingsStart, found.postingsEnd, stored);
  noted.readChanges(number, changes);
  changePostings(stored, changes, current);
  return current;
}

function keepList(list: Postings, shelf: number, term: Term): void {
  if (list.length === 0) return;
  writer.clear();
  encodePostings(list, writer);
  term.documents += list.length;
  term.lists.set(shelf, writer.copy(0, writer.length));
}

/** How often the contents of the shelf have words longer than the last, all together. */
function* countLongerWords(
  { tables, noted, last }: RankInput,
  shelf: number,
  counts: Uint32Array,
): Generator<void> {
  const prefix = encoder.encode(last);
  // A flush during a pause writes what was noted to the pages: held on to here, it is still known, and counts once.
  const shelfNoted = noted.get(shelf);
  const changed = shelfNoted?.startingWith(prefix) ?? [];
  const changedWords = new Set(changed.map((number) => shelfNoted?.word(number)));
  // Page by page, not in one walk: during a pause they may change.
  for (let page = readPage(tables, shelf, last); page !== undefined;) {
    const cursor = new PageCursor(page.bytes);
    let isPast = false;
    while (!isPast && cursor.next()) {
      if (cursor.compare(prefix) <= 0) continue;
      isPast = !cursor.startsWith(prefix);
      if (isPast || (changedWords.size > 0 && changedWords.has(cursor.word()))) continue;
      decodePostings(cursor.bytes, cursor.postingsStart, cursor.postingsEnd, stored);
      addCounts(stored, counts);
    }
    yield;
    page = isPast ? undefined : readPageAfter(tables, shelf, page);
  }
  if (shelfNoted === undefined) return;
  for (const number of changed) {
    const word = shelfNoted.word(number);
    if (word === last) continue;
    const found = findWord(readPage(tables, shelf, word), encoder.encode(word));
    addCounts(changedPostings(found, shelfNoted, number), counts);
    yield;
  }
}

function addCounts(list: Postings, counts: Uint32Array): void {
  for (let index = 0; index < list.length; index++) {
    const place = list.places[index] ?? 0;
    counts[place] = (counts[place] ?? 0) + (list.counts[index] ?? 0);
  }
}

function countedPostings(counts: Uint32Array): Postings {
  current.length = 0;
  for (let place = 0; place < counts.length; place++) {
    const count = counts[place] ?? 0;
    if (count > 0) current.push(place, count);
  }
  return current;
}

function scoreTerm(lengths: SlotLengths, shelf: number, term: Term, scores: Float64Array): void {
  const list = term.lists.get(shelf);
  if (list === undefined) return;
  decodePostings(list, 0, list.length, stored);
  const rarity = Math.log(1 + (lengths.documents - term.documents + 0.5) / (term.documents + 0.5));
  const weight = term.weight * Math.max(rarity, 0) * (k1 + 1);
  const perWord = (k1 * b * lengths.documents) / lengths.words;
  const first = shelf * shelfSlots;
  for (let index = 0; index < stored.length; index++) {
    const place = stored.places[index] ?? 0;
    const count = stored.counts[index] ?? 0;
    const norm = k1 * (1 - b) + perWord * lengths.get(first + place);
    scores[place] = (scores[place] ?? 0) + (weight * count) / (count + norm);
  }
}

function* offerShelf(
  { lengths, admits }: RankInput,
  shelf: number,
  scores: Float64Array,
  best: BestSlots,
): Generator<void> {
  let asked = 0;
  let floor = best.floor;
  for (let place = 0; place < shelfSlots; place++) {
    const score = scores[place] ?? 0;
    if (score === 0 || score < floor) continue;
    const slot = shelf * shelfSlots + place;
    if (lengths.get(slot) === 0 || !best.wants(slot, score)) continue;
    if (admits(slot)) best.offer(slot, score);
    floor = best.floor;
    if (++asked % admittedBetweenPauses === 0) yield;
  }
}
