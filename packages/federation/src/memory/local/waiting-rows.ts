import type { EncodedRow } from "./changes.ts";
import type { RowFacts } from "./row-facts.ts";

/** An acknowledged row that is not yet in the tables; without `encoded` it was removed. */
export interface WaitingRow {
  readonly id: string;
  readonly slot: number;
  readonly sequence: number;
  readonly row: { readonly facts: RowFacts; readonly encoded: EncodedRow } | undefined;
}

/** What was acknowledged and is not yet in the tables: readers look here first. */
export class WaitingRows {
  readonly #byId = new Map<string, WaitingRow>();
  readonly #bySlot = new Map<number, WaitingRow>();

  get size(): number {
    return this.#byId.size;
  }

  add(waiting: WaitingRow): void {
    this.#byId.set(waiting.id, waiting);
    this.#bySlot.set(waiting.slot, waiting);
  }

  ofId(id: string): WaitingRow | undefined {
    return this.#byId.get(id);
  }

  atSlot(slot: number): WaitingRow | undefined {
    return this.#bySlot.get(slot);
  }

  all(): Iterable<WaitingRow> {
    return this.#bySlot.values();
  }

  ids(): Iterable<string> {
    return this.#byId.keys();
  }

  /** The tables have it, unless something newer waits. */
  drop(id: string, slot: number, sequence: number): void {
    if (this.#byId.get(id)?.sequence === sequence) this.#byId.delete(id);
    if (this.#bySlot.get(slot)?.sequence === sequence) this.#bySlot.delete(slot);
  }
}
