import { describe } from "../../runtime/json.ts";
import { SlotIndex } from "./slot-index.ts";
import { decodeSlot } from "./slot-record.ts";
import { damaged } from "./table-values.node.ts";
import { TenantTables } from "./tables.node.ts";
import type { Tables } from "./tables.node.ts";
import { TenantState } from "./tenant-state.ts";
import { Slice } from "./turn.ts";
import type { VectorFolder } from "./vector-folder.node.ts";

/** Some half a millisecond. */
const slotsAtOnce = 250;
/** Ten milliseconds of loading: enough for another thread to be ahead. */
const slotsAhead = 4_096;

/**
 * Reads what is kept in memory of a tenant: columns, quantised vectors, outbox, dead letters, facts. Rows stay where they are. `records` is how
 * many slots have something.
 */
export async function loadTenant(
  tables: Tables,
  { number, name }: { readonly number: number; readonly name: string },
  folder: VectorFolder,
): Promise<{ readonly state: TenantState; readonly records: number }> {
  const state = newTenant(tables, { number, name }, folder);
  const { index, stored } = state;
  for (const text of tables.names(number)) index.names.give(text);
  stored.savedNames = index.names.count;
  for (const { dimensions, model, vectors } of await folder.open(number, index.names.count))
    index.adopt(dimensions, model, vectors);
  const slice = new Slice();
  let records = 0;
  for (let slot = tables.slotFrom(number, 0); slot !== undefined;) {
    const record = tables.slotRecord(number, slot);
    if (record === undefined) {
      slot = tables.slotFrom(number, slot);
      continue;
    }
    const decoded = decodeSlot(record);
    if (decoded === undefined || !index.isPossible(decoded)) throw damaged(slot, "a record", "it is none");
    index.load(slot, decoded);
    slot += 1;
    records += 1;
    if (slot % slotsAhead === 0) tables.prefetchSlotRecords(number, slot + slotsAhead, slotsAhead);
    if (records % slotsAtOnce === 0 && slice.isOver) await slice.rest();
  }
  index.collectFree();
  for (const { place, id } of tables.outbox(number)) {
    const slot = tables.slotOf(number, id);
    if (slot === undefined)
      throw damaged(place, "what waits for the server", `there is no memory ${describe(id)}`);
    state.entries.set(id, place);
    state.entryIds.set(place, id);
  }
  for (const letter of tables.letters(number)) state.letters.set(letter.place, letter);
  for (const [fact, value] of tables.facts(number)) state.facts.set(fact, value);
  return { state, records };
}

/** A tenant of which the tables know nothing. */
export function newTenant(
  tables: Tables,
  { number, name }: { readonly number: number; readonly name: string },
  folder: VectorFolder,
): TenantState {
  const index = new SlotIndex((dimensions, model) => folder.create(number, dimensions, model));
  const stored = new TenantTables({ number, name, names: index.names, words: tables.wordsOf(number) });
  return new TenantState(tables, stored, index);
}
