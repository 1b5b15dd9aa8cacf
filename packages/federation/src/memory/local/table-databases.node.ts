import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";
import { createWordIndex } from "../words/create-word-index.ts";
import type { WordEntry, WordIndex, WordKey, WordTables } from "../words/word-index.ts";

type Bytes = Uint8Array;

/** The lmdb databases of a store. Several threads may have them open at once; one of them writes. */
export interface TableDatabases {
  readonly root: RootDatabase<Bytes, string>;
  readonly facts: Database<string, [number, string]>;
  readonly tenants: Database<string, number>;
  readonly names: Database<string, [number, number]>;
  /** Slots by id. */
  readonly ids: Database<Bytes, Bytes>;
  readonly rows: Database<Bytes, number>;
  readonly vectors: Database<Bytes, number>;
  readonly slots: Database<Bytes, number>;
  readonly leaves: Database<Bytes, Bytes>;
  readonly outbox: Database<string, [number, number]>;
  readonly letters: Database<Bytes, [number, number]>;
  readonly words: Database<Bytes, (string | number)[]>;
}

export function openDatabases(path: string): TableDatabases {
  // overlappingSync off: a transaction is on the disk when it has committed, by lmdb's own protocol.
  const root = open<Bytes, string>({ path, encoding: "binary", maxDbs: 16, overlappingSync: false });
  return {
    root,
    facts: root.openDB({ name: "facts", encoding: "string" }),
    tenants: root.openDB({ name: "tenants", encoding: "string" }),
    names: root.openDB({ name: "names", encoding: "string" }),
    ids: root.openDB({ name: "ids", encoding: "binary", keyEncoding: "binary" }),
    rows: root.openDB({ name: "rows", encoding: "binary" }),
    vectors: root.openDB({ name: "vectors", encoding: "binary" }),
    slots: root.openDB({ name: "slots", encoding: "binary" }),
    leaves: root.openDB({ name: "leaves", encoding: "binary", keyEncoding: "binary" }),
    outbox: root.openDB({ name: "outbox", encoding: "string" }),
    letters: root.openDB({ name: "letters", encoding: "binary" }),
    words: root.openDB({ name: "words", encoding: "binary" }),
  };
}

export function openWords({ words }: TableDatabases, tenant: number): WordIndex {
  return createWordIndex(new TenantWordTables(words, tenant));
}

class TenantWordTables implements WordTables {
  readonly #words: Database<Bytes, (string | number)[]>;
  readonly #tenant: number;

  constructor(words: Database<Bytes, (string | number)[]>, tenant: number) {
    this.#words = words;
    this.#tenant = tenant;
  }

  get(key: WordKey): Uint8Array | undefined {
    return this.#words.get([this.#tenant, ...key]);
  }

  put(key: WordKey, value: Uint8Array): void {
    void this.#words.put([this.#tenant, ...key], value);
  }

  remove(key: WordKey): void {
    void this.#words.remove([this.#tenant, ...key]);
  }

  *range(from: WordKey, to: WordKey): Iterable<WordEntry> {
    const range = { start: [this.#tenant, ...from], end: [this.#tenant, ...to] };
    for (const { key, value } of this.#words.getRange(range)) yield { key: key.slice(1), value };
  }

  first(from: WordKey, to: WordKey): WordEntry | undefined {
    // The value apart: a range makes a buffer for each, which the garbage collector stops the loop for.
    const range = { start: [this.#tenant, ...from], end: [this.#tenant, ...to], limit: 1 };
    const [key] = Array.from(this.#words.getKeys(range));
    const value = key === undefined ? undefined : this.#words.getBinaryFast(key)?.subarray(0); // as in vectorNow
    return key === undefined || value === undefined ? undefined : { key: key.slice(1), value };
  }
}
