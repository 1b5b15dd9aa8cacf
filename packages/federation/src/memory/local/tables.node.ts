import { crc32 } from "node:zlib";
import { open, type Database, type RootDatabase } from "lmdb";
import { FederationError, toError } from "../../runtime/errors.ts";
import { createWordIndex } from "../words/create-word-index.ts";
import type { WordIndex, WordKey, WordTables } from "../words/word-index.ts";
import { decodeLetter, decodeRow, encodeLetter, textOfRow, type Change, type EncodedRow } from "./changes.ts";
import type { DeadLetter } from "./local-store.ts";
import { leavesOf } from "./metadata-leaves.ts";
import type { Names } from "./names.ts";
import type { MemoryRow } from "../memory-row.ts";
import type { UncheckedVector } from "./read-vectors.ts";
import { rowFromJson, vectorFromBytes, vectorToBytes } from "./row-codec.ts";
import { stateOf } from "./row-facts.ts";
import { editBlock, placesOf, slotsPerBlock } from "./slot-block.ts";
import * as keys from "./table-keys.node.ts";
import { Slice } from "./turn.ts";

/** A change that has been acknowledged, with what the memory made of it. */
export interface PlacedChange {
  readonly sequence: number;
  readonly tenant: TenantTables;
  readonly change: Change;
  /** Of the row; -1 where the change has none. */
  readonly slot: number;
  /** Nothing was at the slot before. */
  readonly isNew: boolean;
  /** Columns and quantised vector of a row that was put. */
  readonly record: Uint8Array | undefined;
  /** The place of the outbox entry that this ends. */
  readonly endedPlace: number | undefined;
}

/** One tenant's part of the tables. */
export class TenantTables {
  readonly number: number;
  readonly name: string;
  readonly names: Names;
  readonly words: WordIndex;
  savedNames: number;

  constructor(parts: { number: number; name: string; names: Names; words: WordIndex }) {
    this.number = parts.number;
    this.name = parts.name;
    this.names = parts.names;
    this.words = parts.words;
    this.savedNames = parts.names.count;
  }
}

type Bytes = Uint8Array;
type LeafEdits = Map<string, { readonly key: Buffer; readonly places: Map<number, boolean> }>;

/**
 * The lmdb database of a store: rows by slot, and what they are found by. Written in transactions that never hold the event loop for long;
 * how far they have come stands in the same transaction.
 */
export class Tables {
  readonly #root: RootDatabase<Bytes, string>;
  readonly #facts: Database<string, [number, string]>;
  readonly #tenants: Database<string, number>;
  readonly #names: Database<string, [number, number]>;
  readonly #ids: Database<Bytes, Bytes>;
  readonly #rows: Database<Bytes, number>;
  readonly #vectors: Database<Bytes, number>;
  readonly #slots: Database<Bytes, number>;
  readonly #leaves: Database<Bytes, Bytes>;
  readonly #outbox: Database<string, [number, number]>;
  readonly #letters: Database<Bytes, [number, number]>;
  readonly #words: Database<Bytes, (string | number)[]>;
  #applied: number;

  constructor(path: string) {
    // overlappingSync off: a transaction is on the disk when its promise resolves, by lmdb's own protocol.
    const root = (this.#root = open({ path, encoding: "binary", maxDbs: 16, overlappingSync: false }));
    this.#facts = root.openDB({ name: "facts", encoding: "string" });
    this.#tenants = root.openDB({ name: "tenants", encoding: "string" });
    this.#names = root.openDB({ name: "names", encoding: "string" });
    this.#ids = root.openDB({ name: "ids", encoding: "binary", keyEncoding: "binary" });
    this.#rows = root.openDB({ name: "rows", encoding: "binary" });
    this.#vectors = root.openDB({ name: "vectors", encoding: "binary" });
    this.#slots = root.openDB({ name: "slots", encoding: "binary" });
    this.#leaves = root.openDB({ name: "leaves", encoding: "binary", keyEncoding: "binary" });
    this.#outbox = root.openDB({ name: "outbox", encoding: "string" });
    this.#letters = root.openDB({ name: "letters", encoding: "binary" });
    this.#words = root.openDB({ name: "words", encoding: "binary" });
    const applied = root.get("applied");
    this.#applied = applied === undefined ? 0 : Number(Buffer.from(applied).toString());
  }

  /** The sequence number up to which all changes are in the tables, and on the disk. */
  get applied(): number {
    return this.#applied;
  }

  countRows(): number {
    return this.#ids.getKeysCount();
  }

  tenants(): { readonly number: number; readonly name: string }[] {
    return Array.from(this.#tenants.getRange(), ({ key, value }) => ({ number: key, name: value }));
  }

  wordsOf(tenant: number): WordIndex {
    return createWordIndex(new TenantWords(this.#words, tenant));
  }

  /** In the order of their numbers, from 1. */
  *names(tenant: number): Iterable<string> {
    for (const { value } of this.#names.getRange({ start: [tenant, 0], end: [tenant + 1, 0] })) yield value;
  }

  /** The first slot from this one on that has a record. */
  slotFrom(tenant: number, from: number): number | undefined {
    const range = { start: keys.slotKey(tenant, from), end: keys.slotKey(tenant + 1, 0), limit: 1 };
    const [key] = Array.from(this.#slots.getKeys(range));
    return key === undefined ? undefined : keys.slotOfKey(key);
  }

  /** What `encodeSlot` made, until the next read. A slot after the other this is twice as fast as a range of them, which makes a buffer for each. */
  slotRecord(tenant: number, slot: number): Uint8Array | undefined {
    return this.#slots.getBinaryFast(keys.slotKey(tenant, slot))?.subarray(0); // as in vectorNow
  }

  *outbox(tenant: number): Iterable<{ readonly place: number; readonly id: string }> {
    for (const { key, value } of this.#outbox.getRange({ start: [tenant, 0], end: [tenant + 1, 0] }))
      yield { place: key[1], id: value };
  }

  *letters(tenant: number): Iterable<DeadLetter> {
    for (const { value } of this.#letters.getRange({ start: [tenant, 0], end: [tenant + 1, 0] }))
      yield decodeLetter(sound(value, 0, "a dead letter"));
  }

  *facts(tenant: number): Iterable<readonly [name: string, value: string]> {
    for (const { key, value } of this.#facts.getRange({ start: [tenant, ""], end: [tenant + 1, ""] }))
      yield [key[1], value];
  }

  slotOf(tenant: number, id: string): number | undefined {
    const bytes = this.#ids.getBinaryFast(keys.idKey(tenant, id)); // good until the next read
    if (bytes === undefined) return undefined;
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  }

  /** Ids behind `after`, in the order of their UTF-8 bytes. */
  idsAfter(tenant: number, after: string, limit: number): string[] {
    // A key that is there may come first; `exclusiveStart` is not looked at for keys of bytes.
    const range = { start: keys.idKey(tenant, after), end: keys.idsEnd(tenant), limit: limit + 1 };
    const ids = Array.from(this.#ids.getKeys(range), keys.idOfKey);
    return ids.filter((id) => id !== after).slice(0, limit);
  }

  /** Throws FederationError "damaged" where what is read is not what was written. */
  row(tenant: number, slot: number): MemoryRow | undefined {
    const text = this.rowText(tenant, slot);
    return text === undefined ? undefined : rowFromJson(text, this.embedding(tenant, slot));
  }

  /** A row without its embedding, as `rowFromJson` reads it. */
  rowText(tenant: number, slot: number): string | undefined {
    const json = this.#rows.getBinaryFast(keys.slotKey(tenant, slot)); // good until the next read: it is text by then
    return json === undefined ? undefined : textOfRow(sound(json, slot, "a row"));
  }

  /** `known`: if it has been read already. */
  embedding(tenant: number, slot: number, known?: UncheckedVector): Float32Array | null {
    if (known !== undefined) {
      if (known.sum !== crc32(vectorToBytes(known.vector), slot)) throw damaged(slot, "a vector");
      return known.vector;
    }
    const bytes = this.#vectors.getBinaryFast(keys.slotKey(tenant, slot));
    return bytes === undefined ? null : vectorFromBytes(sound(bytes, slot, "a vector"));
  }

  /** With its sum before it, unchecked, and only until the next read. */
  vectorNow(tenant: number, slot: number): Uint8Array | undefined {
    // lmdb's buffer is longer than its length says, which all but its own `subarray` believe.
    return this.#vectors.getBinaryFast(keys.slotKey(tenant, slot))?.subarray(0);
  }

  /** Ascending slots of the living and superseded rows whose metadata has the leaf. */
  leafSlots(tenant: number, leaf: string): number[] {
    const slots: number[] = [];
    const range = { start: keys.leafKey(tenant, leaf, 0), end: keys.leafKey(tenant, leaf, 0xffffff) };
    for (const { key, value } of this.#leaves.getRange(range)) {
      const first = keys.firstSlotOfLeafKey(key);
      for (const place of placesOf(value)) slots.push(first + place);
    }
    return slots;
  }

  /**
   * Applies the changes in one transaction. Resolves when it is on the disk. It works in pieces and calls `rest` between them; what is read
   * meanwhile may be this transaction's, which is why readers look at what waits for the tables first.
   */
  async apply(changes: readonly PlacedChange[], rest: () => Promise<void>): Promise<void> {
    const last = changes.at(-1);
    if (last === undefined) return;
    // A child transaction: lmdb-js commits what a callback had done that throws, except in one of these.
    await this.#root
      .childTransaction(async () => {
        await inSlices(this.#applying(changes), rest);
        void this.#root.put("applied", Buffer.from(String(last.sequence)));
      })
      .catch(async (error: unknown) => Promise.reject(await reasonOf(error)));
    this.#root.resetReadTxn();
    this.#applied = last.sequence;
  }

  /** A step at a time. Leaves and words come last: the more rows are written together, the less each costs. */
  *#applying(changes: readonly PlacedChange[]): Generator<void> {
    const edits: LeafEdits = new Map();
    for (const placed of changes) yield this.#applyOne(placed, edits);
    for (const { key, places } of edits.values()) {
      const block = editBlock(this.#leaves.get(key), places);
      if (block === undefined) void this.#leaves.remove(key);
      else void this.#leaves.put(key, block);
      yield;
    }
    for (const tenant of new Set(changes.map((placed) => placed.tenant))) {
      yield this.#saveTenant(tenant);
      yield* tenant.words.flushing();
    }
  }

  async close(): Promise<void> {
    await this.#root.close();
  }

  #saveTenant(tenant: TenantTables): void {
    void this.#tenants.put(tenant.number, tenant.name);
    for (; tenant.savedNames < tenant.names.count; tenant.savedNames += 1) {
      const number = tenant.savedNames + 1;
      void this.#names.put([tenant.number, number], tenant.names.text(number) ?? "");
    }
  }

  #applyOne(placed: PlacedChange, edits: LeafEdits): void {
    const { change, tenant, endedPlace } = placed;
    if (endedPlace !== undefined) void this.#outbox.remove([tenant.number, endedPlace]);
    switch (change.kind) {
      case "put":
        this.#put(placed, change, edits);
        break;
      case "remove":
        this.#remove(placed, change.id, edits);
        break;
      case "settle":
        break;
      case "refuse":
        void this.#letters.put([tenant.number, change.letter.place], summed(encodeLetter(change.letter), 0));
        break;
      case "release":
        void this.#letters.remove([tenant.number, change.place]);
        break;
      case "fact":
        void this.#facts.put([tenant.number, change.name], change.value);
        break;
    }
  }

  #put(placed: PlacedChange, change: Extract<Change, { kind: "put" }>, edits: LeafEdits): void {
    const { tenant, slot, isNew, record, sequence } = placed;
    const { id, encoded, outbox, facts } = change;
    const key = keys.slotKey(tenant.number, slot);
    if (isNew) {
      const value = scratchOf(4);
      value.writeUInt32LE(slot);
      void this.#ids.put(keys.idKey(tenant.number, id), value);
    } else this.#unindex(tenant, slot, edits);
    void this.#rows.put(key, summed(encoded.json, slot));
    if (encoded.vector !== undefined) void this.#vectors.put(key, summed(encoded.vector, slot));
    else if (!isNew) void this.#vectors.remove(key);
    if (record !== undefined) {
      const value = scratchOf(record.length);
      value.set(record);
      void this.#slots.put(key, value);
    }
    if (facts.state === "living") this.#index(tenant, slot, { encoded, edits });
    if (outbox === "add") void this.#outbox.put([tenant.number, sequence], id);
  }

  #remove({ tenant, slot }: PlacedChange, id: string, edits: LeafEdits): void {
    if (slot < 0) return;
    this.#unindex(tenant, slot, edits);
    const key = keys.slotKey(tenant.number, slot);
    void this.#ids.remove(keys.idKey(tenant.number, id));
    void this.#rows.remove(key);
    void this.#vectors.remove(key);
    void this.#slots.remove(key);
  }

  #index(
    tenant: TenantTables,
    slot: number,
    { encoded, edits }: { encoded: EncodedRow; edits: LeafEdits },
  ): void {
    const row = decodeRow({ json: encoded.json, vector: undefined });
    tenant.words.add(slot, row.content);
    for (const leaf of leavesOf(row.metadata))
      noteLeaf(edits, { tenant: tenant.number, leaf, slot, isIn: true });
  }

  /** By what is in the tables now, which is what was indexed. */
  #unindex(tenant: TenantTables, slot: number, edits: LeafEdits): void {
    const json = this.#rows.get(keys.slotKey(tenant.number, slot));
    if (json === undefined) return;
    const row = decodeRow({ json: sound(json, slot, "a row"), vector: undefined });
    if (stateOf(row) !== "living") return;
    tenant.words.remove(slot, row.content);
    for (const leaf of leavesOf(row.metadata))
      noteLeaf(edits, { tenant: tenant.number, leaf, slot, isIn: false });
  }
}

const sumBytes = 4;

async function inSlices(steps: Generator<void>, rest: () => Promise<void>): Promise<void> {
  const slice = new Slice(2); // beside what writers take of the same turn
  while (steps.next().done !== true) if (slice.isOver) await slice.rest(rest);
}

/** The slot is part of the sum: a row in another one's place is damage too. Good until the next value is made. */
function summed(bytes: Uint8Array, slot: number): Uint8Array {
  const value = scratchOf(sumBytes + bytes.length);
  value.writeUInt32LE(crc32(bytes, slot));
  value.set(bytes, sumBytes);
  return value;
}

let scratch = Buffer.allocUnsafeSlow(65_536);

/** Within a transaction lmdb has taken a value over when `put` returns; a buffer of its own for each would cost more than writing it. */
function scratchOf(sizeBytes: number): Buffer {
  if (sizeBytes > scratch.length) scratch = Buffer.allocUnsafeSlow(sizeBytes * 2);
  return scratch.subarray(0, sizeBytes);
}

function sound(value: Uint8Array, slot: number, what: string): Uint8Array {
  const bytes = value.subarray(sumBytes);
  const sum = value.length < sumBytes ? -1 : new DataView(value.buffer, value.byteOffset).getUint32(0, true);
  if (sum === crc32(bytes, slot)) return bytes;
  throw damaged(slot, what);
}

function damaged(slot: number, what: string): FederationError {
  return new FederationError("damaged", `read ${what} at slot ${slot}: its checksum does not match`, {
    remedy: "salvageLocalStore reads what is still whole",
  });
}

function noteLeaf(
  edits: LeafEdits,
  { tenant, leaf, slot, isIn }: { tenant: number; leaf: string; slot: number; isIn: boolean },
): void {
  const block = Math.floor(slot / slotsPerBlock);
  const name = `${tenant} ${block} ${leaf}`;
  let edit = edits.get(name);
  if (edit === undefined)
    edits.set(name, (edit = { key: keys.leafKey(tenant, leaf, block), places: new Map() }));
  edit.places.set(slot % slotsPerBlock, isIn);
}

class TenantWords implements WordTables {
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

  *range(from: WordKey, to: WordKey): Iterable<{ readonly key: WordKey; readonly value: Uint8Array }> {
    const range = { start: [this.#tenant, ...from], end: [this.#tenant, ...to] };
    for (const { key, value } of this.#words.getRange(range)) yield { key: key.slice(1), value };
  }
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
