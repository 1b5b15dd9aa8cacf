import type { MemoryFilter, MemoryRow } from "../memory-row.ts";
import { candidatesFor, neededFor } from "../vectors/rescore.ts";
import { checkVector } from "./check-row.ts";
import type { RowMatch } from "./local-store.ts";
import { contains, planOf } from "./metadata-leaves.ts";
import { columnTest, newestSlots, selectSlots } from "./select-slots.ts";
import type { Selection } from "./select-slots.ts";
import { ReadVectors } from "./read-vectors.ts";
import type { TenantState } from "./tenant-state.ts";
import { Slice } from "./turn.ts";

interface MeaningQuery {
  readonly embedding: Float32Array;
  readonly model: string | null;
  readonly filter?: MemoryFilter;
  readonly nowMs: number;
  readonly limit: number;
  readonly minSimilarity?: number;
  readonly signal?: AbortSignal;
}

interface WordsQuery {
  readonly text: string;
  readonly filter?: MemoryFilter;
  readonly nowMs: number;
  readonly limit: number;
  readonly signal?: AbortSignal;
}

export async function searchMeaning(state: TenantState, query: MeaningQuery): Promise<readonly RowMatch[]> {
  const { embedding, model, filter = {}, nowMs, limit, minSimilarity = -Infinity, signal } = query;
  checkVector(embedding, "the embedding of a search");
  const group = state.index.group(embedding.length, model);
  if (group === undefined || limit < 1) return [];
  const selection = { filter, nowMs, group };
  const count = candidatesFor(limit);
  const options = signal === undefined ? {} : { signal };
  const isAdmitted = columnTest(state.index, selection);

  let slots: Uint32Array | undefined;
  const atHand = slotsAtHand(state, filter);
  if (atHand !== undefined) {
    const nearest = await group.vectors.nearest(embedding, count, { ...options, ...atHand });
    const admitted = nearest.slots.filter(isAdmitted);
    // Too many of the nearest have expired: look again, at those only that have not.
    if (admitted.length >= neededFor(limit) || nearest.slots.length < count) slots = admitted;
  }
  if (slots === undefined) {
    const among = await findSlots(state, selection, signal);
    if (among.length === 0) return [];
    const nearest = await group.vectors.nearest(embedding, count, { ...options, among });
    slots = nearest.slots.filter(isAdmitted);
  }
  const vectors = new ReadVectors(embedding.length, slots.length);
  try {
    const slice = new Slice();
    const best: Found[] = [];
    vectors.compareWith(embedding);
    for (let place = 0; place < slots.length; place++) {
      const slot = slots[place]!; // within its length
      if (!state.readVector(slot, vectors, place)) continue;
      const score = vectors.similarity(place);
      if (score >= minSimilarity) best.push({ slot, score, place });
      if (place % 64 === 63 && slice.isOver) await slice.rest();
    }
    signal?.throwIfAborted();
    best.sort((a, b) => b.score - a.score);
    return await readMatches(state, best, { filter, limit, slice, vectors, isAdmitted });
  } finally {
    vectors.close();
  }
}

export async function searchWords(state: TenantState, query: WordsQuery): Promise<readonly RowMatch[]> {
  const { text, filter = {}, nowMs, limit, signal } = query;
  const selection = { filter, nowMs };
  let admits = columnTest(state.index, selection);
  if (filter.metadata !== undefined) {
    const slots = new Set(await findSlots(state, selection, signal));
    const isAdmitted = admits;
    admits = (slot) => slots.has(slot) && isAdmitted(slot);
  }
  const found = await state.stored.words.search(text, limit, { admits, signal });
  return await readMatches(state, found, { filter, limit, slice: new Slice(), isAdmitted: admits });
}

export async function searchNewest(
  state: TenantState,
  { filter = {}, nowMs, limit }: { filter?: MemoryFilter; nowMs: number; limit: number },
): Promise<readonly MemoryRow[]> {
  const slots = newestSlots(state.index, await findSlots(state, { filter, nowMs }, undefined), limit);
  const slice = new Slice();
  const rows: MemoryRow[] = [];
  for (const slot of slots) {
    const row = state.rowAt(slot);
    if (row !== undefined && matches(row, filter)) rows.push(row);
    if (slice.isOver) await slice.rest();
  }
  return rows;
}

/** All slots that a filter admits, ascending: exact, and without reading rows unless the metadata wanted leaves no other way. */
async function findSlots(
  state: TenantState,
  selection: Selection,
  signal: AbortSignal | undefined,
): Promise<Uint32Array> {
  const { metadata } = selection.filter;
  if (metadata === undefined) return selectSlots(state.index, selection);
  const plan = planOf(metadata);
  if (plan.leaves.size === 0) return selectSlots(state.index, selection);
  const stored = [...plan.leaves].map((leaf) => state.storedLeafSlots(leaf));
  const waiting = waitingSlots(state, metadata);
  const slice = new Slice();
  const candidates = selectSlots(state.index, selection, stored).filter((slot) => !waiting.seen.has(slot));
  const admitted = columnTest(state.index, selection);
  const found = waiting.found.filter(admitted);
  for (const slot of candidates) {
    if (plan.isExact || contains(state.rowAt(slot)?.metadata, metadata)) found.push(slot);
    if (!plan.isExact && slice.isOver) {
      await slice.rest();
      signal?.throwIfAborted();
    }
  }
  return Uint32Array.from(found).sort();
}

/** Of the rows that are not yet in the tables: all, and those whose metadata contains what is wanted. */
function waitingSlots(
  state: TenantState,
  metadata: Readonly<Record<string, unknown>>,
): { readonly seen: ReadonlySet<number>; readonly found: number[] } {
  const seen = new Set<number>();
  const found: number[] = [];
  for (const { slot, change } of state.waiting.all()) {
    seen.add(slot);
    if (change.kind === "put" && contains(state.rowAt(slot)?.metadata, metadata)) found.push(slot);
  }
  return { seen, found };
}

interface Found {
  readonly slot: number;
  readonly score: number;
  /** Where its vector was read to. */
  readonly place?: number;
}

interface Reading {
  readonly filter: MemoryFilter;
  readonly limit: number;
  /** When the reading of `vectors` began. */
  readonly slice: Slice;
  readonly vectors?: ReadVectors;
  readonly isAdmitted: (slot: number) => boolean;
}

/** The rows, best first. A slot may have got another row whenever others ran: what does not match is passed over. */
async function readMatches(
  state: TenantState,
  best: readonly Found[],
  { filter, limit, slice, vectors, isAdmitted }: Reading,
): Promise<RowMatch[]> {
  const matched: RowMatch[] = [];
  for (const { slot, score, place } of best) {
    if (matched.length >= limit) break;
    if (!isAdmitted(slot)) continue;
    // What was read before others ran may be another row's vector by now.
    const isKnown = slice.rests === 0 && place !== undefined && vectors !== undefined;
    const row = state.found(slot, isKnown ? () => vectors.take(place) : undefined);
    if (row !== undefined && matches(row, filter)) matched.push({ row, score });
    if (matched.length % 64 === 63 && slice.isOver) await slice.rest();
  }
  return matched;
}

function matches(row: MemoryRow, { metadata }: MemoryFilter): boolean {
  return metadata === undefined || contains(row.metadata, metadata);
}

/**
 * Slots that need not be collected, with all that the filter admits among them: those of the one agent or session that is all it names, or
 * simply all. Undefined for other filters.
 */
function slotsAtHand(
  { index }: TenantState,
  filter: MemoryFilter,
): { readonly among?: Uint32Array } | undefined {
  const { agent, session, ...others } = filter;
  if (Object.values(others).some((value) => value !== undefined)) return undefined;
  if (agent === undefined && session === undefined) return {};
  if (agent !== undefined && session !== undefined) return undefined;
  const slots = agent === undefined ? index.ofSession(session ?? "") : index.ofAgent(agent);
  return { among: slots.slice() }; // they may change while the search rests
}
