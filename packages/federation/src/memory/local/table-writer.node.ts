import { encodeLetter, textOfRow } from "./changes.ts";
import type { EncodedRow, TableChange } from "./changes.ts";
import { leavesOf } from "./metadata-leaves.ts";
import type { PlacedChange, TableBatch, TenantNews, TenantWords } from "./placed-change.ts";
import { rowFromJson } from "./row-codec.ts";
import { stateOf } from "./row-facts.ts";
import { editBlock, slotsPerBlock } from "./slot-block.ts";
import type { TableDatabases } from "./table-databases.node.ts";
import * as keys from "./table-keys.node.ts";
import { scratchOf, sound, summed } from "./table-values.node.ts";

type SlotDatabase = TableDatabases["rows" | "vectors" | "slots"];
type LeafEdits = Map<string, { readonly key: Buffer; readonly places: Map<number, boolean> }>;

/** What a transaction does for a batch of changes: rows, and what they are found by. Knows nothing of transactions, nor of threads. */
export class TableWriter {
  readonly #databases: TableDatabases;
  /** No lower than the last key that is there: one that was removed, or given up with its transaction, may have been behind it. */
  readonly #lastKeys = new Map<SlotDatabase, number>();

  constructor(databases: TableDatabases) {
    this.#databases = databases;
  }

  /**
   * Within one transaction, to be stepped through to its end. Leaves and words come last: the more rows are written together, the less each
   * costs.
   */
  *steps({ tenants, changes }: TableBatch): Generator<void> {
    const { root, leaves } = this.#databases;
    const edits: LeafEdits = new Map();
    for (const tenant of tenants) yield this.#saveTenant(tenant);
    for (const placed of changes) yield this.#applyOne(placed, edits);
    for (const { key, places } of edits.values()) {
      const block = editBlock(leaves.get(key), places);
      if (block === undefined) void leaves.remove(key);
      else void leaves.put(key, block);
      yield;
    }
    for (const words of new Set(changes.map(({ tenant }) => tenant.words))) yield* words.flushing();
    void root.put("applied", Buffer.from(String(changes.at(-1)?.sequence)));
  }

  #saveTenant({ number, name, firstText, texts }: TenantNews): void {
    void this.#databases.tenants.put(number, name);
    for (const [at, text] of texts.entries()) void this.#databases.names.put([number, firstText + at], text);
  }

  #applyOne(placed: PlacedChange, edits: LeafEdits): void {
    const { outbox, letters, facts } = this.#databases;
    const { change, tenant, endedPlace } = placed;
    if (endedPlace !== undefined) void outbox.remove([tenant.number, endedPlace]);
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
        void letters.put([tenant.number, change.letter.place], summed(encodeLetter(change.letter), 0));
        break;
      case "release":
        void letters.remove([tenant.number, change.place]);
        break;
      case "fact":
        void facts.put([tenant.number, change.name], change.value);
        break;
    }
  }

  #put(placed: PlacedChange, change: Extract<TableChange, { kind: "put" }>, edits: LeafEdits): void {
    const { ids, rows, vectors, slots } = this.#databases;
    const { tenant, slot, isNew, record, sequence } = placed;
    const { id, encoded, outbox } = change;
    const key = keys.slotKey(tenant.number, slot);
    if (isNew) {
      const value = scratchOf(4);
      value.writeUInt32LE(slot);
      void ids.put(keys.idKey(tenant.number, id), value);
    } else this.#unindex(tenant, slot, edits);
    this.#putAt(rows, key, summed(encoded.json, slot));
    if (encoded.vector !== undefined) this.#putAt(vectors, key, summed(encoded.vector, slot));
    else if (!isNew) void vectors.remove(key);
    if (record !== undefined) {
      const value = scratchOf(record.length);
      value.set(record);
      this.#putAt(slots, key, value);
    }
    this.#index(tenant, slot, { json: encoded.json, edits, isIn: true });
    if (outbox === "add") void this.#databases.outbox.put([tenant.number, sequence], id);
  }

  /** What comes behind everything that is there fills the pages. Otherwise lmdb leaves half of each empty, or a vector in each page of its own. */
  #putAt(database: SlotDatabase, key: number, value: Uint8Array): void {
    const last = this.#lastKeys.get(database) ?? lastKeyOf(database);
    // Refused where it is not behind everything after all, which lmdb-js answers, whatever its types say.
    const isPut: unknown = key > last && database.putSync(key, value, { append: true });
    if (isPut !== true) database.putSync(key, value);
    this.#lastKeys.set(database, Math.max(last, key));
  }

  #remove({ tenant, slot }: PlacedChange, id: string, edits: LeafEdits): void {
    if (slot < 0) return;
    this.#unindex(tenant, slot, edits);
    const { ids, rows, vectors, slots } = this.#databases;
    const key = keys.slotKey(tenant.number, slot);
    void ids.remove(keys.idKey(tenant.number, id));
    for (const database of [rows, vectors, slots]) void database.remove(key);
  }

  /** By what is in the tables now, which is what was indexed. */
  #unindex(tenant: TenantWords, slot: number, edits: LeafEdits): void {
    const value = this.#databases.rows.get(keys.slotKey(tenant.number, slot));
    if (value === undefined) return;
    this.#index(tenant, slot, { json: sound(value, slot, "a row"), edits, isIn: false });
  }

  /** Words and metadata of a row that is living. */
  #index(
    { number, words }: TenantWords,
    slot: number,
    { json, edits, isIn }: { json: EncodedRow["json"]; edits: LeafEdits; isIn: boolean },
  ): void {
    const row = rowFromJson(textOfRow(json), null);
    if (stateOf(row) !== "living") return;
    if (isIn) words.add(slot, row.content);
    else words.remove(slot, row.content);
    for (const leaf of leavesOf(row.metadata)) noteLeaf(edits, { tenant: number, leaf, slot, isIn });
  }
}

function lastKeyOf(database: SlotDatabase): number {
  const [last = -1] = Array.from(database.getKeys({ reverse: true, limit: 1 }));
  return last;
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
