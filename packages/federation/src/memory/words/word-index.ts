/**
 * Full-text search over contents, kept in key-value tables that the store owns: the index decides what is written and read, the store writes it
 * in the same transaction as the row.
 */
export interface WordTables {
  /** Undefined where there is nothing. */
  get(key: WordKey): Uint8Array | undefined;
  /** The bytes are the table's from then on: the index never changes them again. */
  put(key: WordKey, value: Uint8Array): void;
  remove(key: WordKey): void;
  /** Keys from `from` on, below `to`, in order. The index writes nothing while it walks. */
  range(from: WordKey, to: WordKey): Iterable<WordEntry>;
  /** The first of them; its value is good until the next read or write. */
  first(from: WordKey, to: WordKey): WordEntry | undefined;
}

export interface WordEntry {
  readonly key: WordKey;
  readonly value: Uint8Array;
}

/** lmdb orders such arrays piece by piece: text by UTF-8, numbers by size, and a beginning before what it begins. */
export type WordKey = readonly (string | number)[];

/**
 * Slots are small whole numbers, given densely and again after `remove`: each costs four bytes of heap.
 * `add` and `remove` touch no table; searches see at once what they noted, and `flush` writes all of it.
 */
export interface WordIndex {
  /** How many slots have words. */
  readonly size: number;
  /** Notes the words of a content under a slot that has none. */
  add(slot: number, content: string): void;
  /** The same content that was added. Where nothing was added, nothing happens. */
  remove(slot: number, content: string): void;
  /**
   * Writes what was noted since the last time; the only call that writes. The store calls it at the end of a write transaction, and the larger
   * that is, the less each row costs. When that transaction is rolled back, throw this index away and make a new one over the tables.
   */
  flush(): void;
  /**
   * The same a page at a time, for an owner that lets others run in between: step through to the end. Searches may run meanwhile, `add` and
   * `remove` may not.
   */
  flushing(): Generator<void>;
  /** How many words the content at a slot has. */
  wordsAt(slot: number): number;
  /** Another index over the same tables has flushed: so many words does the content at the slot have now. */
  learn(slot: number, words: number): void;
  /**
   * Slots whose content has words of the text (of its first 65,536 characters), ranked by BM25, best first; the last word counts as a prefix too.
   * `admits` narrows exactly.
   * Works in slices so that the event loop is never held for more than 10 ms. A slot that is removed meanwhile is not in the answer.
   * Rejects with the signal's reason.
   */
  search(
    text: string,
    count: number,
    options?: { admits?: ((slot: number) => boolean) | undefined; signal?: AbortSignal | undefined },
  ): Promise<readonly WordMatch[]>;
}

export interface WordMatch {
  readonly slot: number;
  /** Higher is better; comparable within one answer only. */
  readonly score: number;
}
