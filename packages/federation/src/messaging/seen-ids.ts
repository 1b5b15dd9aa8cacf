/** The ids seen last, at most `limit` of them: enough to know a repeat, bounded for ever. */
export class SeenIds {
  readonly #limit: number;
  readonly #ids = new Map<string, number>();
  #droppedMs = -Infinity;

  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** The newest time of an id that had to make room. */
  get droppedMs(): number {
    return this.#droppedMs;
  }

  forget(id: string): void {
    this.#ids.delete(id);
  }

  /** True when `id` was not there yet. `atMs`: the time it is of. */
  add(id: string, atMs: number = -Infinity): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.set(id, atMs);
    if (this.#ids.size > this.#limit) {
      const oldest = this.#ids.entries().next();
      if (!oldest.done) {
        this.#ids.delete(oldest.value[0]);
        this.#droppedMs = Math.max(this.#droppedMs, oldest.value[1]);
      }
    }
    return true;
  }
}
