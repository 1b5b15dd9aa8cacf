/** Vectors of one dimension and model, held for searching. Slots are small whole numbers that the owner gives and may give again after `remove`. */
export interface VectorIndex {
  readonly dimensions: number;
  /** How many slots hold a vector. */
  readonly size: number;
  /** Puts or replaces. The vector is any finite, non-zero float32 vector; it is normalised and quantised to int8 with a scale of its own. */
  set(slot: number, vector: Float32Array): void;
  /** The same from what `encode` gave earlier, so that reopening quantises nothing. */
  setEncoded(slot: number, encoded: Uint8Array): void;
  /** The int8 row and its scale, as bytes to be kept; with `into`, which is as long as they are, there. */
  encode(vector: Float32Array, into?: Uint8Array): Uint8Array;
  remove(slot: number): void;
  /**
   * The slots nearest by cosine, best first, at most `count`, by the quantised vectors: the caller rescores them with the whole ones.
   * `among` narrows exactly: only these slots (sorted ascending, distinct). Runs in slices so that the event loop is never held for more than 10 ms.
   */
  nearest(
    query: Float32Array,
    count: number,
    options?: { among?: Uint32Array; signal?: AbortSignal },
  ): Promise<Candidates>;
}

/** Parallel, best first. */
export interface Candidates {
  readonly slots: Uint32Array;
  /** Cosine similarity by the quantised vectors. */
  readonly scores: Float32Array;
}
