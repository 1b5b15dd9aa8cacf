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
  /** By shelf: where in the search's room its encoded postings are. */
  readonly lists: Map<number, { readonly start: number; readonly end: number }>;
}

/**
 * What a search needs while it runs. One at a time has the room that the process keeps: fresh memory for each, a megabyte and more, is what the
 * garbage collector would stop the event loop for.
 */
class SearchRoom {
  readonly lists: ByteWriter = new ByteWriter();
  readonly counts: Uint32Array = new Uint32Array(shelfSlots);
  readonly scores: Float64Array = new Float64Array(shelfSlots);
}

let spareRoom: SearchRoom | undefined;
// A larger one is not kept.
const spareBytes = 4 * 1_048_576;

function takeRoom(): SearchRoom {
  const room = spareRoom ?? new SearchRoom();
  spareRoom = undefined;
  room.lists.clear();
  return room;
}

function giveBack(room: SearchRoom): void {
  if (room.lists.written.length <= spareBytes) spareRoom = room;
}

/**
 * The best slots by BM25. Yields wherever a pause would do, after a fraction of a millisecond each. First reads where the words occur, because
 * the weight of a word depends on how many documents have it anywhere; then scores shelf by shelf.
 */
export function* rankWords(input: RankInput): Generator<void, WordMatch[]> {
  const shelves = input.lengths.shelves();
  const room = takeRoom(); // a search that is given up leaves it to the garbage collector
  const terms: Term[] = [];
  for (const word of input.words) {
    const term: Term = { weight: 1, documents: 0, lists: new Map() };
    for (const shelf of shelves) {
      readWord(input, room, { shelf, word, term });
      yield;
    }
    terms.push(term);
  }
  const longer: Term = { weight: longerWordWeight, documents: 0, lists: new Map() };
  for (const shelf of shelves) {
    room.counts.fill(0);
    yield* countLongerWords(input, shelf, room.counts);
    keepList(countedPostings(room.counts), room, { shelf, term: longer });
  }
  terms.push(longer);

  const best = new BestSlots(input.count);
  for (const shelf of shelves) {
    room.scores.fill(0);
    for (const term of terms) {
      scoreTerm(input.lengths, room, { shelf, term });
      yield;
    }
    yield* offerShelf(input, shelf, room.scores, best);
  }
  giveBack(room);
  return best.bestFirst();
}

// Shared by all searches: each uses them up between two pauses.
const stored = new Postings();
const changes = new Postings();
const current = new Postings();
const encoder = new TextEncoder();

interface TermOfShelf {
  readonly shelf: number;
  readonly term: Term;
}

function readWord(
  { tables, noted }: RankInput,
  room: SearchRoom,
  { shelf, word, term }: TermOfShelf & { readonly word: string },
): void {
  const bytes = encoder.encode(word);
  const found = findWord(readPage(tables, shelf, word), bytes);
  const shelfNoted = noted.get(shelf);
  const number = shelfNoted?.find(bytes);
  if (shelfNoted !== undefined && number !== undefined)
    keepList(changedPostings(found, shelfNoted, number), room, { shelf, term });
  else if (found !== undefined) {
    const start = room.lists.length;
    room.lists.bytes(found.bytes, found.postingsStart, found.postingsEnd);
    term.documents += found.documents;
    term.lists.set(shelf, { start, end: room.lists.length });
  }
}

function changedPostings(found: PageCursor | undefined, noted: NotedWords, number: number): Postings {
  stored.length = 0;
  if (found !== undefined) decodePostings(found.bytes, found.postingsStart, found.postingsEnd, stored);
  noted.readChanges(number, changes);
  changePostings(stored, changes, current);
  return current;
}

function keepList(list: Postings, room: SearchRoom, { shelf, term }: TermOfShelf): void {
  if (list.length === 0) return;
  const start = room.lists.length;
  encodePostings(list, room.lists);
  term.documents += list.length;
  term.lists.set(shelf, { start, end: room.lists.length });
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

function addCounts({ places, counts: more, length }: Postings, counts: Uint32Array): void {
  for (let index = 0; index < length; index++) {
    const place = places[index] ?? 0;
    counts[place] = (counts[place] ?? 0) + (more[index] ?? 0);
  }
}

function countedPostings(found: Uint32Array): Postings {
  const { places, counts } = current;
  let length = 0;
  for (let place = 0; place < found.length; place++) {
    const count = found[place] ?? 0;
    if (count === 0) continue;
    places[length] = place;
    counts[length++] = count;
  }
  current.length = length;
  return current;
}

function scoreTerm(lengths: SlotLengths, { lists, scores }: SearchRoom, { shelf, term }: TermOfShelf): void {
  const list = term.lists.get(shelf);
  if (list === undefined) return;
  decodePostings(lists.written, list.start, list.end, stored);
  const rarity = Math.log(1 + (lengths.documents - term.documents + 0.5) / (term.documents + 0.5));
  const weight = term.weight * Math.max(rarity, 0) * (k1 + 1);
  const perWord = (k1 * b * lengths.documents) / lengths.words;
  const words = lengths.ofShelf(shelf);
  const { places, counts, length } = stored;
  for (let index = 0; index < length; index++) {
    const place = places[index] ?? 0;
    const count = counts[index] ?? 0;
    const norm = k1 * (1 - b) + perWord * (words[place] ?? 0);
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
