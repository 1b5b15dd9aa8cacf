/**
 * Full-text search over contents, kept in key-value tables that the store owns: the index decides what is written and read, the store writes it
 * in the same transaction as the row.
 */
export interface WordTables {
  /** Undefined where there is nothing. */
  get(key: WordKey): Uint8Array | undefined;
  put(key: WordKey, value: Uint8Array): void;
  remove(key: WordKey): void;
  /** Keys from `from` on, below `to`, in order. */
  range(from: WordKey, to: WordKey): Iterable<{ readonly key: WordKey; readonly value: Uint8Array }>;
}

/** lmdb orders such arrays piece by piece: text by UTF-8, numbers by size. */
export type WordKey = readonly (string | number)[];

export interface WordIndex {
  /** Notes the words of a content under a slot. Called inside the store's write transaction. */
  add(slot: number, content: string): void;
  /** The same content that was added. */
  remove(slot: number, content: string): void;
  /**
   * Slots whose content has words of the text, ranked by BM25, best first; the last word counts as a prefix too. `admits` narrows exactly.
   * Works in slices so that the event loop is never held for more than 10 ms.
   */
  search(
    text: string,
    count: number,
    options: { admits?: (slot: number) => boolean; signal?: AbortSignal },
  ): Promise<readonly { readonly slot: number; readonly score: number }[]>;
}
