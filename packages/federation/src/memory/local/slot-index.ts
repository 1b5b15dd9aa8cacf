import { encodedBytes } from "../vectors/quantise.ts";
import type { VectorIndex } from "../vectors/vector-index.ts";
import { Columns, slotState } from "./columns.ts";
import { Names } from "./names.ts";
import type { RowFacts } from "./row-facts.ts";
import type { SlotRecord } from "./slot-record.ts";
import { SortedSlots } from "./sorted-slots.ts";

/** Vectors of a store: what makes searching them quick is built in the background, from `startBuilding` until `close` has resolved. */
export interface StoredVectors extends VectorIndex {
  startBuilding(): void;
  close(): Promise<void>;
}

/** Vectors that may be compared with each other: of one dimension and one model. */
export interface VectorGroup {
  readonly number: number;
  readonly vectors: StoredVectors;
}

/** What a tenant's rows are found by, in memory: a slot a row, tombstones included. */
export class SlotIndex {
  readonly columns: Columns = new Columns();
  readonly names: Names = new Names();
  readonly #byAgent = new Map<number, SortedSlots>();
  readonly #bySession = new Map<number, SortedSlots>();
  readonly #groups = new Map<string, VectorGroup>();
  readonly #groupOfNumber: VectorGroup[] = [];
  readonly #free: number[] = [];
  readonly #createVectors: (dimensions: number, model: number) => StoredVectors;
  #code = new Uint8Array();
  #isBuilding = false;

  /** `createVectors` is asked for each dimension and number of a model that there are no vectors of yet. */
  constructor(createVectors: (dimensions: number, model: number) => StoredVectors) {
    this.#createVectors = createVectors;
  }

  /** A slot that nothing holds; it stays taken until `clear`. */
  take(): number {
    const slot = this.#free.pop() ?? this.columns.used;
    this.columns.grow(slot);
    return slot;
  }

  /** Puts a row, or another version of it, into its slot. Answers what is to be kept for the next opening, good until the next `put`. */
  put(slot: number, facts: RowFacts, vector: Float32Array | null): SlotRecord {
    const group =
      vector === null || facts.state !== "living"
        ? undefined
        : this.#groupFor(vector.length, this.names.give(facts.model));
    const record: SlotRecord = {
      state: facts.state,
      agent: this.names.give(facts.agent),
      session: this.names.give(facts.session),
      model: this.names.give(facts.model),
      createdMicros: facts.createdMicros,
      endMicros: facts.endMicros,
      dimensions: group?.vectors.dimensions ?? 0,
      code:
        group === undefined || vector === null
          ? noCode
          : group.vectors.encode(vector, this.#roomForCode(vector.length)),
    };
    this.load(slot, record);
    return record;
  }

  /** Whether it can be what `put` answered: its names are known, and the code has its dimensions. */
  isPossible({ agent, session, model, dimensions, code }: SlotRecord): boolean {
    const { count } = this.names;
    const areNamed = agent >= 1 && agent <= count && session <= count && model <= count;
    return areNamed && code.length === (dimensions === 0 ? 0 : encodedBytes(dimensions));
  }

  /** The same from what was kept. */
  load(slot: number, record: SlotRecord): void {
    const { columns } = this;
    this.#forget(slot);
    columns.grow(slot);
    columns.state[slot] = slotState[record.state];
    columns.created[slot] = record.createdMicros;
    columns.end[slot] = record.endMicros;
    columns.agent[slot] = record.agent;
    columns.session[slot] = record.session;
    if (record.state !== "living") return;
    slotsOf(this.#byAgent, record.agent).add(slot);
    if (record.session !== 0) slotsOf(this.#bySession, record.session).add(slot);
    if (record.dimensions === 0) return;
    const group = this.#groupFor(record.dimensions, record.model);
    group.vectors.setEncoded(slot, record.code);
    columns.group[slot] = group.number;
  }

  /** Gives the slot back. */
  clear(slot: number): void {
    this.#forget(slot);
    this.#free.push(slot);
  }

  /** After loading: the slots below the highest that nothing holds. */
  collectFree(): void {
    const { state, used } = this.columns;
    this.#free.length = 0;
    for (let slot = used - 1; slot >= 0; slot--) if (state[slot] === slotState.free) this.#free.push(slot);
  }

  group(dimensions: number, model: string | null): VectorGroup | undefined {
    const number = model === null ? 0 : this.names.find(model);
    return number === undefined ? undefined : this.#groups.get(groupKey(dimensions, number));
  }

  /** For loading: what is on the disk for a dimension and model, before the first vector of them. */
  adopt(dimensions: number, model: number, vectors: StoredVectors): void {
    this.#addGroup(groupKey(dimensions, model), vectors);
  }

  /** Called once, when everything has been loaded. */
  startBuilding(): void {
    this.#isBuilding = true;
    for (const { vectors } of this.#groupOfNumber) vectors.startBuilding();
  }

  /** Resolves when nothing is built any more. */
  async close(): Promise<void> {
    await Promise.all(this.#groupOfNumber.map(({ vectors }) => vectors.close()));
  }

  /** The living rows of an agent, expired ones too, as a view that the next change may alter. */
  ofAgent(agent: string): Uint32Array {
    return viewOf(this.#byAgent, this.names.find(agent));
  }

  ofSession(session: string): Uint32Array {
    return viewOf(this.#bySession, this.names.find(session));
  }

  #roomForCode(dimensions: number): Uint8Array {
    const length = encodedBytes(dimensions);
    if (this.#code.length !== length) this.#code = new Uint8Array(length);
    return this.#code;
  }

  #forget(slot: number): void {
    const { columns } = this;
    if (slot >= columns.used) return;
    if (columns.state[slot] === slotState.living) {
      this.#byAgent.get(columns.agent[slot] ?? 0)?.remove(slot);
      this.#bySession.get(columns.session[slot] ?? 0)?.remove(slot);
      const group = columns.group[slot] ?? 0;
      if (group !== 0) this.#groupOfNumber[group - 1]?.vectors.remove(slot);
    }
    columns.group[slot] = 0;
    columns.state[slot] = slotState.free;
  }

  #groupFor(dimensions: number, model: number): VectorGroup {
    const key = groupKey(dimensions, model);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = this.#addGroup(key, this.#createVectors(dimensions, model));
    if (this.#isBuilding) group.vectors.startBuilding();
    return group;
  }

  #addGroup(key: string, vectors: StoredVectors): VectorGroup {
    const group = { number: this.#groups.size + 1, vectors };
    this.#groups.set(key, group);
    this.#groupOfNumber.push(group);
    return group;
  }
}

const noCode = new Uint8Array();

function groupKey(dimensions: number, model: number): string {
  return `${dimensions} ${model}`;
}

function slotsOf(sets: Map<number, SortedSlots>, number: number): SortedSlots {
  let slots = sets.get(number);
  if (slots === undefined) sets.set(number, (slots = new SortedSlots()));
  return slots;
}

function viewOf(sets: ReadonlyMap<number, SortedSlots>, number: number | undefined): Uint32Array {
  const slots = number === undefined ? undefined : sets.get(number);
  return slots === undefined ? new Uint32Array() : slots.view;
}
