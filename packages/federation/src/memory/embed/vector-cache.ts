/** The vectors used last, by the hash of their text. */
export class VectorCache {
  readonly #vectors = new Map<string, Float32Array>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(hash: string): Float32Array | undefined {
    const vector = this.#vectors.get(hash);
    if (vector === undefined) return undefined;
    // A Map keeps the order of insertion: what was used goes to the end.
    this.#vectors.delete(hash);
    this.#vectors.set(hash, vector);
    return vector;
  }

  set(hash: string, vector: Float32Array): void {
    this.#vectors.delete(hash);
    this.#vectors.set(hash, vector);
    if (this.#vectors.size <= this.#limit) return;
    const [oldest] = this.#vectors.keys();
    if (oldest !== undefined) this.#vectors.delete(oldest);
  }
}
