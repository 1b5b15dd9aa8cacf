import type { EncodedRow } from "./changes.ts";

/** An acknowledged row that is not yet in the tables; one of another kind than `put` was removed. */
export interface WaitingRow {
  readonly slot: number;
  readonly sequence: number;
  readonly change: PutRow | RemovedRow;
}

type PutRow = { readonly kind: "put"; readonly id: string; readonly encoded: EncodedRow };
type RemovedRow = { readonly kind: "remove"; readonly id: string };

/** A power of two. */
const parts = 64;
/** Neighbouring slots, in one list. */
const slotsPerList = 1_024;

/**
 * What was acknowledged and is not yet in the tables: readers look here first. A hundred thousand rows may wait: in one map, each doubling would
 * hold the event loop for as long as ten thousand writes, and slots, of which neighbours come together, are found by their place in a list.
 */
export class WaitingRows {
  readonly #byId = new Map<number, Map<string, WaitingRow>>();
  readonly #bySlot = new Map<number, SlotList>();

  add(waiting: WaitingRow): void {
    const { id } = waiting.change;
    const part = this.#byId.get(partOf(id));
    if (part === undefined) this.#byId.set(partOf(id), new Map([[id, waiting]]));
    else part.set(id, waiting);
    const number = Math.floor(waiting.slot / slotsPerList);
    let list = this.#bySlot.get(number);
    if (list === undefined) this.#bySlot.set(number, (list = newList()));
    const place = waiting.slot % slotsPerList;
    if (list.rows[place] === undefined) list.count += 1;
    list.rows[place] = waiting;
  }

  ofId(id: string): WaitingRow | undefined {
    return this.#byId.get(partOf(id))?.get(id);
  }

  atSlot(slot: number): WaitingRow | undefined {
    return this.#bySlot.get(Math.floor(slot / slotsPerList))?.rows[slot % slotsPerList];
  }

  *all(): Iterable<WaitingRow> {
    for (const { rows } of this.#bySlot.values()) for (const row of rows) if (row !== undefined) yield row;
  }

  *ids(): Iterable<string> {
    for (const part of this.#byId.values()) yield* part.keys();
  }

  /** The tables have it, unless something newer waits. */
  drop(id: string, slot: number, sequence: number): void {
    const part = this.#byId.get(partOf(id));
    if (part?.get(id)?.sequence === sequence) part.delete(id);
    const number = Math.floor(slot / slotsPerList);
    const list = this.#bySlot.get(number);
    const place = slot % slotsPerList;
    if (list?.rows[place]?.sequence !== sequence) return;
    list.rows[place] = undefined;
    list.count -= 1;
    if (list.count === 0) this.#bySlot.delete(number);
  }
}

/** Ids differ most in what they end with. */
function partOf(id: string): number {
  const end = id.length;
  const sum = id.charCodeAt(end - 1) * 31 + id.charCodeAt(end - 2) * 7 + id.charCodeAt(end - 3);
  return sum & (parts - 1); // 0 where there are fewer
}

interface SlotList {
  readonly rows: (WaitingRow | undefined)[];
  count: number;
}

function newList(): SlotList {
  // oxlint-disable-next-line unicorn/no-new-array -- as long as it will be from the beginning
  return { rows: new Array<WaitingRow | undefined>(slotsPerList).fill(undefined), count: 0 };
}
