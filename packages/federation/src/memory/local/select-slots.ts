import type { MemoryFilter } from "../memory-row.ts";
import { slotState } from "./columns.ts";
import type { SlotIndex, VectorGroup } from "./slot-index.ts";
import { microsOf } from "./time-micros.ts";

/** What a row must be to be found. */
export interface Selection {
  readonly filter: MemoryFilter;
  readonly nowMs: number;
  /** Only rows whose vector is in this group. */
  readonly group?: VectorGroup | undefined;
}

/** Whether the row at a slot, by its columns, is found at all: living, not expired, and as the filter says; metadata is not looked at. */
export function columnTest(index: SlotIndex, { filter, nowMs, group }: Selection): (slot: number) => boolean {
  const { columns, names } = index;
  const nowMicros = nowMs * 1000;
  const agent = filter.agent === undefined ? 0 : (names.find(filter.agent) ?? -1);
  const session = filter.session === undefined ? 0 : (names.find(filter.session) ?? -1);
  const since = filter.since === undefined ? -Infinity : microsOf(filter.since);
  const until = filter.until === undefined ? Infinity : microsOf(filter.until);
  const groupNumber = group?.number ?? 0;
  return (slot) => {
    if (columns.state[slot] !== slotState.living || (columns.end[slot] ?? 0) <= nowMicros) return false;
    if (groupNumber !== 0 && columns.group[slot] !== groupNumber) return false;
    if (agent !== 0 && columns.agent[slot] !== agent) return false;
    if (session !== 0 && columns.session[slot] !== session) return false;
    const created = columns.created[slot] ?? 0;
    return created >= since && created < until;
  };
}

/**
 * The slots that pass the column test, ascending. `lists` are further conditions: ascending slots of which a row must be in each.
 */
export function selectSlots(
  index: SlotIndex,
  selection: Selection,
  lists: readonly ArrayLike<number>[] = [],
): Uint32Array {
  const { agent, session } = selection.filter;
  const test = columnTest(index, selection);
  const shortest = [...lists];
  if (agent !== undefined) shortest.push(index.ofAgent(agent));
  if (session !== undefined) shortest.push(index.ofSession(session));
  shortest.sort((a, b) => a.length - b.length);
  const [first, ...others] = shortest;
  const length = first?.length ?? index.columns.used;
  const found = new Uint32Array(length);
  const cursors = others.map(() => 0);
  let count = 0;
  for (let at = 0; at < length; at++) {
    const slot = first === undefined ? at : (first[at] ?? 0);
    if (test(slot) && isInAll(slot, others, cursors)) found[count++] = slot;
  }
  return found.subarray(0, count);
}

/** Asked with ascending slots: the cursors only go forward. */
function isInAll(slot: number, lists: readonly ArrayLike<number>[], cursors: number[]): boolean {
  for (let number = 0; number < lists.length; number++) {
    const list = lists[number] ?? [];
    let at = cursors[number] ?? 0;
    while (at < list.length && (list[at] ?? 0) < slot) at += 1;
    cursors[number] = at;
    if (list[at] !== slot) return false;
  }
  return true;
}

/** The `limit` slots created last, newest first. */
export function newestSlots(index: SlotIndex, slots: Uint32Array, limit: number): number[] {
  const { created } = index.columns;
  const isNewer = (a: number, b: number): number => (created[b] ?? 0) - (created[a] ?? 0) || b - a;
  let best: number[] = [];
  let threshold = -Infinity;
  // From the end: rows stored later were mostly created later, and then the first few leave no room for others.
  for (let at = slots.length - 1; at >= 0; at--) {
    const slot = slots[at] ?? 0;
    if ((created[slot] ?? 0) < threshold) continue;
    best.push(slot);
    if (best.length < limit * 2 + 1_000) continue;
    best = best.sort(isNewer).slice(0, limit);
    threshold = created[best.at(-1) ?? 0] ?? 0;
  }
  return best.sort(isNewer).slice(0, limit);
}
