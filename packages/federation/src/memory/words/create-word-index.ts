import { NotedWords } from "./noted-words.ts";
import { shelfSlots } from "./posting-list.ts";
import { rankWords } from "./rank-words.ts";
import { SlotLengths } from "./slot-lengths.ts";
import type { WordIndex, WordMatch, WordTables } from "./word-index.ts";
import { writePages } from "./word-pages.ts";
import { eachWord } from "./words-of.ts";

// Of a longer text only the beginning is searched for: cutting it into words is not done in slices. 10,000 words are 1 ms.
const longestText = 65_536;

const decoder = new TextDecoder();

export interface WordIndexOptions {
  /** A search pauses as soon as it has held the event loop for so long; default 2. */
  readonly sliceMs?: number | undefined;
  /** Milliseconds from any start. */
  readonly now?: (() => number) | undefined;
  /** Lets others run. */
  readonly pause?: (() => Promise<void>) | undefined;
}

/**
 * A full-text index over key-value tables, opened by reading the lengths of all contents (a byte or two each).
 *
 * Slots are kept in shelves of 4,096, and a shelf is an index of its own: a few hundred pages of words with their postings. Writing touches the
 * pages of the shelves in question only; searching reads one page a shelf and word.
 */
export function createWordIndex(tables: WordTables, options: WordIndexOptions = {}): WordIndex {
  return new PagedWordIndex(tables, {
    sliceMs: options.sliceMs ?? 2,
    now: options.now ?? (() => performance.now()),
    pause: options.pause ?? letOthersRun,
  });
}

/** Browsers have no setImmediate; setTimeout waits a millisecond and more. */
function letOthersRun(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}

interface Timing {
  readonly sliceMs: number;
  readonly now: () => number;
  readonly pause: () => Promise<void>;
}

class PagedWordIndex implements WordIndex {
  readonly #tables: WordTables;
  readonly #timing: Timing;
  readonly #lengths: SlotLengths;
  readonly #noted = new Map<number, NotedWords>();
  #isFlushing = false;
  /** For each search that runs, the slots removed since it began. */
  readonly #searches = new Set<Set<number>>();

  constructor(tables: WordTables, timing: Timing) {
    this.#tables = tables;
    this.#timing = timing;
    this.#lengths = new SlotLengths(tables);
  }

  get size(): number {
    return this.#lengths.documents;
  }

  add(slot: number, content: string): void {
    this.#requireNoFlush();
    if (this.#lengths.get(slot) > 0) throw new Error(`words: slot ${slot} already has a content`);
    const words = this.#notedOf(slot).add(slot % shelfSlots, content);
    if (words > 0) this.#lengths.set(slot, words);
  }

  remove(slot: number, content: string): void {
    if (this.#lengths.get(slot) === 0) return;
    this.#requireNoFlush();
    this.#notedOf(slot).remove(slot % shelfSlots, content);
    this.#lengths.set(slot, 0);
    this.#noteRemoved(slot);
  }

  wordsAt(slot: number): number {
    return this.#lengths.get(slot);
  }

  learn(slot: number, words: number): void {
    if (this.#lengths.get(slot) > 0) this.#noteRemoved(slot);
    this.#lengths.learn(slot, words);
  }

  flush(): void {
    for (const _ of this.flushing());
  }

  *flushing(): Generator<void> {
    this.#isFlushing = true;
    for (const [shelf, noted] of this.#noted) yield* writePages(this.#tables, shelf, noted);
    this.#lengths.flush();
    this.#noted.clear();
    this.#isFlushing = false;
  }

  async search(
    text: string,
    count: number,
    options: { admits?: ((slot: number) => boolean) | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<readonly WordMatch[]> {
    const { admits = () => true, signal } = options;
    signal?.throwIfAborted();
    const words: string[] = [];
    eachWord(text.slice(0, longestText), (bytes, start, end) => {
      words.push(decoder.decode(bytes.subarray(start, end)));
    });
    const last = words.at(-1);
    if (last === undefined || count < 1) return [];

    const removed = new Set<number>();
    this.#searches.add(removed);
    try {
      const ranking = rankWords({
        tables: this.#tables,
        lengths: this.#lengths,
        noted: this.#noted,
        words: [...new Set(words)],
        last,
        count,
        admits: (slot) => !removed.has(slot) && admits(slot),
      });
      const matches = await this.#inSlices(ranking, signal);
      return matches.filter(({ slot }) => !removed.has(slot));
    } finally {
      this.#searches.delete(removed);
    }
  }

  #noteRemoved(slot: number): void {
    for (const removed of this.#searches) removed.add(slot);
  }

  #requireNoFlush(): void {
    if (this.#isFlushing) throw new Error("words: nothing may be added or removed until the flush is done");
  }

  #notedOf(slot: number): NotedWords {
    const shelf = Math.floor(slot / shelfSlots);
    let noted = this.#noted.get(shelf);
    if (noted === undefined) this.#noted.set(shelf, (noted = new NotedWords()));
    return noted;
  }

  async #inSlices<T>(work: Generator<void, T>, signal: AbortSignal | undefined): Promise<T> {
    const { sliceMs, now, pause } = this.#timing;
    for (let start = now(); ;) {
      const step = work.next();
      if (step.done === true) return step.value;
      if (now() - start < sliceMs) continue;
      await pause();
      signal?.throwIfAborted();
      start = now();
    }
  }
}
