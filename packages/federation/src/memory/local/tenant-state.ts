import { describe } from "../../runtime/json.ts";
import { rowFromJson, vectorToBytes, vectorView } from "./row-codec.ts";
import { decodeRow, textOfRow } from "./changes.ts";
import type { Change } from "./changes.ts";
import type { DeadLetter } from "./local-store.ts";
import type { MemoryRow } from "../memory-row.ts";
import { factsOf } from "./row-facts.ts";
import type { ReadVectors, UncheckedVector } from "./read-vectors.ts";
import { RecentRows } from "./recent-rows.ts";
import type { RecentRow } from "./recent-rows.ts";
import type { RowFacts } from "./row-facts.ts";
import type { SlotIndex } from "./slot-index.ts";
import { encodeSlot } from "./slot-record.ts";
import { damaged } from "./table-values.node.ts";
import type { PlacedChange } from "./placed-change.ts";
import type { Tables, TenantTables } from "./tables.node.ts";
import { WaitingRows } from "./waiting-rows.ts";

const mostAbsent = 4_096;

/**
 * What a tenant holds, as readers see it: everything acknowledged, whether the tables have it yet or not. Beside it what was accepted and
 * is not yet acknowledged, which only decisions about further writes look at.
 */
export class TenantState {
  readonly index: SlotIndex;
  readonly waiting: WaitingRows = new WaitingRows();
  /** Places of the outbox by id, and ids by place in the order of places. */
  readonly entries: Map<string, number> = new Map();
  readonly entryIds: Map<number, string> = new Map();
  readonly letters: Map<number, DeadLetter> = new Map();
  readonly facts: Map<string, string> = new Map();
  readonly stored: TenantTables;
  readonly #tables: Tables;
  readonly #acceptedRows = new Map<
    string,
    { readonly sequence: number; readonly facts: RowFacts | undefined }
  >();
  readonly #acceptedEntries = new Map<string, { readonly sequence: number; readonly hasEntry: boolean }>();
  readonly #acceptedReleases = new Set<number>();
  /** Ids that the tables were asked for in vain, and that nobody has put since. */
  readonly #absent = new Set<string>();
  /** Only of rows that do not wait for the tables. */
  readonly #recent = new RecentRows();

  constructor(tables: Tables, stored: TenantTables, index: SlotIndex) {
    this.#tables = tables;
    this.stored = stored;
    this.index = index;
  }

  /** Ascending slots of the rows in the tables whose metadata has the leaf; of waiting rows they say nothing. */
  storedLeafSlots(leaf: string): readonly number[] {
    return this.#tables.leafSlots(this.stored.number, leaf);
  }

  get name(): string {
    return this.stored.name;
  }

  rowAt(slot: number): MemoryRow | undefined {
    const waiting = this.waiting.atSlot(slot);
    if (waiting === undefined) return this.#tables.row(this.stored.number, slot);
    return waiting.change.kind === "put" ? decodeRow(waiting.change.encoded) : undefined;
  }

  /** The same for who searches, and does not change the embedding. `known` gives that, if it has been read just now. */
  found(slot: number, known?: () => UncheckedVector | undefined): MemoryRow | undefined {
    if (this.waiting.atSlot(slot) !== undefined) return this.rowAt(slot);
    const recent = this.#recent.get(slot) ?? this.#readRecent(slot, known?.());
    return recent === undefined ? undefined : rowFromJson(recent.text, recent.embedding);
  }

  /** Reads the vector at a slot, for comparing: a wrong number costs a place in a list. False where there is none to compare. */
  readVector(slot: number, into: ReadVectors, place: number): boolean {
    const waiting = this.waiting.atSlot(slot);
    if (waiting !== undefined) {
      const vector = waiting.change.kind === "put" ? waiting.change.encoded.vector : undefined;
      return vector !== undefined && into.put(place, vector, false);
    }
    const recent = this.#recent.get(slot);
    if (recent !== undefined)
      return recent.embedding !== null && into.put(place, vectorToBytes(recent.embedding), false);
    const bytes = this.#tables.vectorNow(this.stored.number, slot);
    return bytes !== undefined && into.put(place, bytes, true);
  }

  slotOf(id: string): number | undefined {
    if (this.#absent.has(id)) return undefined; // first: a new row is looked for four times, among many that wait
    const waiting = this.waiting.ofId(id);
    if (waiting !== undefined) return waiting.change.kind === "put" ? waiting.slot : undefined;
    const slot = this.#tables.slotOf(this.stored.number, id);
    if (slot === undefined) this.#noteAbsent(id);
    return slot;
  }

  row(id: string): MemoryRow | undefined {
    const slot = this.slotOf(id);
    const row = slot === undefined ? undefined : this.rowAt(slot);
    if (slot !== undefined && row?.id !== id)
      throw damaged(slot, `memory ${describe(id)}`, "another one is there");
    return row;
  }

  /** Of the row as the writes accepted so far will leave it. */
  acceptedFacts(id: string): RowFacts | undefined {
    const accepted = this.#acceptedRows.get(id);
    if (accepted !== undefined) return accepted.facts;
    if (this.#absent.has(id)) return undefined;
    const waiting = this.waiting.ofId(id);
    if (waiting !== undefined)
      return waiting.change.kind === "put"
        ? factsOf(rowFromJson(textOfRow(waiting.change.encoded.json), null))
        : undefined;
    const row = this.row(id);
    return row === undefined ? undefined : factsOf(row);
  }

  /** Whether the outbox will have an entry for the id, and at which place; 0 for one that is not acknowledged yet. */
  acceptedPlace(id: string): number | undefined {
    const accepted = this.#acceptedEntries.get(id);
    if (accepted === undefined) return this.entries.get(id);
    return accepted.hasEntry ? accepted.sequence : undefined;
  }

  acceptedLetter(place: number): DeadLetter | undefined {
    return this.#acceptedReleases.has(place) ? undefined : this.letters.get(place);
  }

  /** Notes what was decided, so that further decisions know. */
  accept(change: Change, sequence: number): void {
    if (change.kind === "put") {
      this.#acceptedRows.set(change.id, { sequence, facts: change.facts });
      if (change.outbox !== "keep")
        this.#acceptedEntries.set(change.id, { sequence, hasEntry: change.outbox === "add" });
    } else if (change.kind === "remove") {
      this.#acceptedRows.set(change.id, { sequence, facts: undefined });
    } else if (change.kind === "settle") {
      this.#acceptedEntries.set(change.id, { sequence, hasEntry: false });
    } else if (change.kind === "refuse") {
      this.#acceptedEntries.set(change.letter.row.id, { sequence, hasEntry: false });
    } else if (change.kind === "release") {
      this.#acceptedReleases.add(change.place);
    }
  }

  /** Shows an acknowledged change to readers. Answers what the tables are to be told. */
  publish(change: Change, sequence: number): PlacedChange<TenantTables> {
    const { stored: tenant } = this;
    switch (change.kind) {
      case "put": {
        this.#forgetAccepted(change.id, sequence);
        const known = this.slotOf(change.id);
        const slot = known ?? this.index.take();
        this.#recent.drop(slot);
        this.#absent.delete(change.id);
        const { kind, id, outbox, facts, encoded } = change;
        const vector = encoded.vector === undefined ? null : vectorView(encoded.vector);
        const record = encodeSlot(this.index.put(slot, facts, vector));
        const endedPlace = change.outbox === "keep" ? undefined : this.#endEntry(change.id);
        if (change.outbox === "add") {
          this.entries.set(change.id, sequence);
          this.entryIds.set(sequence, change.id);
        }
        // Without its facts: what waits is moved about by the garbage collector until the tables have it.
        const kept = { kind, id, outbox, encoded };
        const put = { sequence, tenant, change: kept, slot, isNew: known === undefined, record, endedPlace };
        this.waiting.add(put);
        return put;
      }
      case "remove": {
        this.#forgetAccepted(change.id, sequence);
        const slot = this.slotOf(change.id);
        if (slot === undefined) return this.#unplaced(change, sequence);
        this.index.clear(slot);
        this.#recent.drop(slot);
        const removed = { ...this.#unplaced(change, sequence), change, slot };
        this.waiting.add(removed);
        return removed;
      }
      case "settle":
        this.#forgetAccepted(change.id, sequence);
        return this.#unplaced(change, sequence, this.#endEntry(change.id));
      case "refuse": {
        const { letter } = change;
        this.#forgetAccepted(letter.row.id, sequence);
        this.letters.set(letter.place, letter);
        return this.#unplaced(change, sequence, this.#endEntry(letter.row.id));
      }
      case "release":
        this.letters.delete(change.place);
        this.#acceptedReleases.delete(change.place);
        return this.#unplaced(change, sequence);
      case "fact":
        this.facts.set(change.name, change.value);
        return this.#unplaced(change, sequence);
    }
  }

  #unplaced(change: Change, sequence: number, endedPlace?: number): PlacedChange<TenantTables> {
    return { sequence, tenant: this.stored, change, slot: -1, isNew: false, record: undefined, endedPlace };
  }

  /** The tables have it. */
  settle({ change, slot, sequence }: PlacedChange): void {
    if (change.kind === "put" || change.kind === "remove") this.waiting.drop(change.id, slot, sequence);
  }

  #readRecent(slot: number, known: UncheckedVector | undefined): RecentRow | undefined {
    const { number } = this.stored;
    const text = this.#tables.rowText(number, slot);
    if (text === undefined) return undefined;
    const row = { text, embedding: this.#tables.embedding(number, slot, known) };
    this.#recent.put(slot, row);
    return row;
  }

  #noteAbsent(id: string): void {
    if (this.#absent.size >= mostAbsent) this.#absent.clear();
    this.#absent.add(id);
  }

  #endEntry(id: string): number | undefined {
    const place = this.entries.get(id);
    if (place === undefined) return undefined;
    this.entries.delete(id);
    this.entryIds.delete(place);
    return place;
  }

  #forgetAccepted(id: string, sequence: number): void {
    if (this.#acceptedRows.get(id)?.sequence === sequence) this.#acceptedRows.delete(id);
    if (this.#acceptedEntries.get(id)?.sequence === sequence) this.#acceptedEntries.delete(id);
  }
}
