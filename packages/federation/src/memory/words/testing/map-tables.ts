import type { WordEntry, WordKey, WordTables } from "../word-index.ts";

/** Tables as the store has them, in memory: keys in lmdb's order. */
export class MapTables implements WordTables {
  #entries: WordEntry[] = [];
  #read = new Uint8Array();

  get(key: WordKey): Uint8Array | undefined {
    return this.#entries.find((entry) => compareKeys(entry.key, key) === 0)?.value;
  }

  put(key: WordKey, value: Uint8Array): void {
    const at = this.#firstFrom(key);
    const isThere = at < this.#entries.length && compareKeys(this.#entries[at]?.key ?? [], key) === 0;
    this.#entries.splice(at, isThere ? 1 : 0, { key, value });
  }

  remove(key: WordKey): void {
    this.#entries = this.#entries.filter((entry) => compareKeys(entry.key, key) !== 0);
  }

  *range(from: WordKey, to: WordKey): Iterable<WordEntry> {
    for (let at = this.#firstFrom(from); at < this.#entries.length; at++) {
      const entry = this.#entries[at];
      if (entry === undefined || compareKeys(entry.key, to) >= 0) return;
      yield entry;
    }
  }

  /** Into one buffer for all, as the store's: who keeps a value too long sees another one. */
  first(from: WordKey, to: WordKey): WordEntry | undefined {
    const [entry] = this.range(from, to);
    if (entry === undefined) return undefined;
    const { key, value } = entry;
    if (value.length > this.#read.length) this.#read = new Uint8Array(2 * value.length);
    this.#read.set(value);
    return { key, value: this.#read.subarray(0, value.length) };
  }

  get sizeBytes(): number {
    return this.#entries.reduce((sum, { value }) => sum + value.length, 0);
  }

  get keys(): WordKey[] {
    return this.#entries.map(({ key }) => key);
  }

  #firstFrom(key: WordKey): number {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareKeys(this.#entries[middle]?.key ?? [], key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function compareKeys(a: WordKey, b: WordKey): number {
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    const [first, second] = [a[at], b[at]];
    const difference =
      typeof first === "number" && typeof second === "number"
        ? first - second
        : Buffer.compare(Buffer.from(String(first)), Buffer.from(String(second)));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
