import { crc32 } from "node:zlib";
import { FederationError, toError } from "../../runtime/errors.ts";
import type { WordIndex } from "../words/word-index.ts";
import { decodeLetter, textOfRow } from "./changes.ts";
import type { DeadLetter } from "./local-store.ts";
import type { Names } from "./names.ts";
import type { MemoryRow } from "../memory-row.ts";
import type { PlacedChange, TableBatch, TenantNews } from "./placed-change.ts";
import type { UncheckedVector } from "./read-vectors.ts";
import { rowFromJson, vectorFromBytes, vectorToBytes } from "./row-codec.ts";
import { placesOf } from "./slot-block.ts";
import { openDatabases, openWords } from "./table-databases.node.ts";
import type { TableDatabases } from "./table-databases.node.ts";
import * as keys from "./table-keys.node.ts";
import { damaged, sound } from "./table-values.node.ts";
import { tablesIdentity } from "./tables-file.node.ts";
import { TableWriter } from "./table-writer.node.ts";
import { Slice } from "./turn.ts";
import { TablesInThread, WriterThread } from "./writer-thread.node.ts";

/** One tenant's part of the tables. */
export class TenantTables {
  readonly number: number;
  readonly name: string;
  readonly names: Names;
  readonly words: WordIndex;
  /** How many names the tables have been told. */
  savedNames: number;

  constructor(parts: { number: number; name: string; names: Names; words: WordIndex }) {
    this.number = parts.number;
    this.name = parts.name;
    this.names = parts.names;
    this.words = parts.words;
    this.savedNames = parts.names.count;
  }

  /** What the tables have not been told yet; asked for once, for the transaction that tells them. */
  news(): TenantNews {
    const { number, name, names } = this;
    const firstText = this.savedNames + 1;
    const texts: string[] = [];
    for (; this.savedNames < names.count; this.savedNames += 1)
      texts.push(names.text(this.savedNames + 1) ?? "");
    return { number, name, firstText, texts };
  }
}

/**
 * The lmdb database of a store: rows by slot, and what they are found by. Written in transactions that never hold the event loop for long, in
 * a thread as soon as there is much to write; how far they have come stands in the same transaction.
 */
export class Tables {
  readonly #path: string;
  readonly #databases: TableDatabases;
  readonly #writer: TableWriter;
  readonly #threadFrom: number;
  readonly #identity: number | undefined;
  #thread: TablesInThread | undefined;
  #applied: number;
  /** How many changes were applied since the opening. */
  #count = 0;

  /** `threadFrom`: from how many changes on a thread writes them; default some, or at once where the process has that thread already. */
  constructor(path: string, threadFrom: number = WriterThread.isRunning ? 0 : manyChanges) {
    this.#path = path;
    this.#threadFrom = WriterThread.isPossible ? threadFrom : Infinity;
    this.#databases = openDatabases(path);
    this.#identity = tablesIdentity(path);
    this.#writer = new TableWriter(this.#databases);
    const applied = this.#databases.root.get("applied");
    this.#applied = applied === undefined ? 0 : Number(Buffer.from(applied).toString());
  }

  /** The sequence number up to which all changes are in the tables, and on the disk. */
  get applied(): number {
    return this.#applied;
  }

  /**
   * Throws FederationError "damaged" where a row has lost its id, its record or its content: lmdb takes a damaged page for what it says, and what is
   * not on it for what was never there. `records` is how many could be read: who loads the store reads each, and a second walk would take as long.
   */
  check(records: number): void {
    const { ids, slots, rows } = this.#databases;
    const kept = { ids: entriesOf(ids), records: entriesOf(slots), contents: entriesOf(rows) };
    const found = { ids: ids.getKeysCount(), records };
    const all = [...Object.values(kept), ...Object.values(found)];
    if (all.every((count) => count === kept.ids)) return;
    throw new FederationError(
      "damaged",
      `open ${this.#path}: of ${kept.ids} ids, ${kept.records} records and ${kept.contents} rows ${found.ids} ids and ${found.records} records can be read`,
      { remedy: "salvageLocalStore reads what is still whole" },
    );
  }

  countRows(): number {
    return this.#databases.ids.getKeysCount();
  }

  tenants(): { readonly number: number; readonly name: string }[] {
    return Array.from(this.#databases.tenants.getRange(), ({ key, value }) => ({ number: key, name: value }));
  }

  wordsOf(tenant: number): WordIndex {
    return openWords(this.#databases, tenant);
  }

  /** In the order of their numbers, from 1. */
  *names(tenant: number): Iterable<string> {
    for (const { value } of this.#databases.names.getRange({ start: [tenant, 0], end: [tenant + 1, 0] }))
      yield value;
  }

  /** The first slot from this one on that has a record. */
  slotFrom(tenant: number, from: number): number | undefined {
    const range = { start: keys.slotKey(tenant, from), end: keys.slotKey(tenant + 1, 0), limit: 1 };
    const [key] = Array.from(this.#databases.slots.getKeys(range));
    return key === undefined ? undefined : keys.slotOfKey(key);
  }

  /** What `encodeSlot` made, until the next read. A slot after the other this is twice as fast as a range of them, which makes a buffer for each. */
  slotRecord(tenant: number, slot: number): Uint8Array | undefined {
    return this.#databases.slots.getBinaryFast(keys.slotKey(tenant, slot))?.subarray(0); // as in vectorNow
  }

  /** Another thread maps the pages of these slots' records, which `slotRecord` would wait for: a third of what opening a million rows took. */
  prefetchSlotRecords(tenant: number, from: number, count: number): void {
    // Eight of 384 dimensions share a page.
    const slots = Array.from({ length: count / 8 }, (_, at) => keys.slotKey(tenant, from + at * 8));
    void this.#databases.slots.prefetch(slots, () => {});
  }

  *outbox(tenant: number): Iterable<{ readonly place: number; readonly id: string }> {
    for (const { key, value } of this.#databases.outbox.getRange({
      start: [tenant, 0],
      end: [tenant + 1, 0],
    }))
      yield { place: key[1], id: value };
  }

  *letters(tenant: number): Iterable<DeadLetter> {
    for (const { value } of this.#databases.letters.getRange({ start: [tenant, 0], end: [tenant + 1, 0] }))
      yield decodeLetter(sound(value, 0, "a dead letter"));
  }

  *facts(tenant: number): Iterable<readonly [name: string, value: string]> {
    for (const { key, value } of this.#databases.facts.getRange({
      start: [tenant, ""],
      end: [tenant + 1, ""],
    }))
      yield [key[1], value];
  }

  slotOf(tenant: number, id: string): number | undefined {
    const bytes = this.#databases.ids.getBinaryFast(keys.idKey(tenant, id)); // good until the next read
    if (bytes === undefined) return undefined;
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  }

  /** Ids behind `after`, in the order of their UTF-8 bytes. */
  idsAfter(tenant: number, after: string, limit: number): string[] {
    // A key that is there may come first; `exclusiveStart` is not looked at for keys of bytes.
    const range = { start: keys.idKey(tenant, after), end: keys.idsEnd(tenant), limit: limit + 1 };
    const ids = Array.from(this.#databases.ids.getKeys(range), keys.idOfKey);
    return ids.filter((id) => id !== after).slice(0, limit);
  }

  /** Throws FederationError "damaged" where what is read is not what was written. */
  row(tenant: number, slot: number): MemoryRow | undefined {
    const text = this.rowText(tenant, slot);
    return text === undefined ? undefined : rowFromJson(text, this.embedding(tenant, slot));
  }

  /** A row without its embedding, as `rowFromJson` reads it. */
  rowText(tenant: number, slot: number): string | undefined {
    const json = this.#databases.rows.getBinaryFast(keys.slotKey(tenant, slot)); // good until the next read: it is text by then
    return json === undefined ? undefined : textOfRow(sound(json, slot, "a row"));
  }

  /** `known`: if it has been read already. */
  embedding(tenant: number, slot: number, known?: UncheckedVector): Float32Array | null {
    if (known !== undefined) {
      if (known.sum !== crc32(vectorToBytes(known.vector), slot)) throw damaged(slot, "a vector");
      return known.vector;
    }
    const bytes = this.#databases.vectors.getBinaryFast(keys.slotKey(tenant, slot));
    return bytes === undefined ? null : vectorFromBytes(sound(bytes, slot, "a vector"));
  }

  /** With its sum before it, unchecked, and only until the next read. */
  vectorNow(tenant: number, slot: number): Uint8Array | undefined {
    // lmdb's buffer is longer than its length says, which all but its own `subarray` believe.
    return this.#databases.vectors.getBinaryFast(keys.slotKey(tenant, slot))?.subarray(0);
  }

  /** Ascending slots of the living and superseded rows whose metadata has the leaf. */
  leafSlots(tenant: number, leaf: string): number[] {
    const slots: number[] = [];
    const range = { start: keys.leafKey(tenant, leaf, 0), end: keys.leafKey(tenant, leaf, 0xffffff) };
    for (const { key, value } of this.#databases.leaves.getRange(range)) {
      const first = keys.firstSlotOfLeafKey(key);
      for (const place of placesOf(value)) slots.push(first + place);
    }
    return slots;
  }

  /**
   * Applies the changes in one transaction. Resolves when it is on the disk, in a file that can be opened again. Few are written here, in pieces, with `rest` between them: what is
   * read meanwhile may be this transaction's, which is why readers look at what waits for the tables first.
   */
  async apply(changes: readonly PlacedChange<TenantTables>[], rest: () => Promise<void>): Promise<void> {
    const last = changes.at(-1);
    if (last === undefined) return;
    const tenants = new Set(changes.map(({ tenant }) => tenant));
    const batch = { changes, tenants: Array.from(tenants, (tenant) => tenant.news()) };
    this.#count += changes.length;
    if (this.#thread === undefined && this.#count < this.#threadFrom) await this.#applyHere(batch, rest);
    else await this.#applyInThread(batch);
    this.#databases.root.resetReadTxn();
    if (tablesIdentity(this.#path) !== this.#identity)
      throw new Error(`${this.#path} was deleted while it was in use`);
    this.#applied = last.sequence;
  }

  async #applyHere(batch: TableBatch, rest: () => Promise<void>): Promise<void> {
    // A child transaction: lmdb-js commits what a callback had done that throws, except in one of these.
    await this.#databases.root
      .childTransaction(() => inSlices(this.#writer.steps(batch), rest))
      .catch(async (error: unknown) => Promise.reject(await reasonOf(error)));
  }

  async #applyInThread(batch: TableBatch): Promise<void> {
    this.#thread ??= new TablesInThread(this.#path);
    const words = await this.#thread.apply(batch);
    let at = 0;
    for (const { tenant, slot } of batch.changes) {
      if (slot >= 0) tenant.words.learn(slot, words[at] ?? 0);
      at += 1;
    }
  }

  async close(): Promise<void> {
    await this.#thread?.close();
    await this.#databases.root.close();
  }
}

function entriesOf(database: { getStats(): unknown }): number {
  const { entryCount } = database.getStats() as { readonly entryCount: number }; // lmdb-js types it as an object
  return entryCount;
}

/** A thread takes some tens of milliseconds to start, and this thread as long to write so many. */
const manyChanges = 2_000;

async function inSlices(steps: Generator<void>, rest: () => Promise<void>): Promise<void> {
  const slice = new Slice();
  while (steps.next().done !== true) if (slice.isOver) await slice.rest(rest);
}

/** lmdb-js says that a commit failed, and why in a promise beside it, which rejects later and must not do so unheard. */
async function reasonOf(error: unknown): Promise<Error> {
  const failure = toError(error);
  if (!("commitError" in failure) || !(failure.commitError instanceof Promise)) return failure;
  const reason: Promise<Error> = failure.commitError.then(() => failure, toError);
  // Should it never come, the failure is said without it.
  const patience = new Promise<Error>((resolve) => setTimeout(() => resolve(failure), 1_000).unref());
  return await Promise.race([reason, patience]);
}
