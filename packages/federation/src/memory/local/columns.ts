/** What is at a slot. */
export const slotState = { free: 0, living: 1, superseded: 2, deleted: 3 } as const;

/** The facts of rows that filters read, by slot, a typed array each: 29 bytes a row. */
export class Columns {
  state: Uint8Array = new Uint8Array(64);
  agent: Uint32Array = new Uint32Array(64);
  session: Uint32Array = new Uint32Array(64);
  /** Which vectors the row's one is compared with; 0 for none. */
  group: Uint32Array = new Uint32Array(64);
  created: Float64Array = new Float64Array(64);
  end: Float64Array = new Float64Array(64);
  /** Slots from here on were never used. */
  used = 0;

  /** No column is due before this slot. */
  #due = 0;

  /** Makes room for a slot. Each column doubles a little before it must, and before the next one: a million rows' together take 18 ms. */
  grow(slot: number): void {
    if (slot >= this.used) this.used = slot + 1;
    if (slot < this.#due) return;
    if (slot >= dueOf(this.state, 0))
      this.state = extend(this.state, new Uint8Array(roomFor(slot, this.state)));
    if (slot >= dueOf(this.agent, 1))
      this.agent = extend(this.agent, new Uint32Array(roomFor(slot, this.agent)));
    if (slot >= dueOf(this.session, 2))
      this.session = extend(this.session, new Uint32Array(roomFor(slot, this.session)));
    if (slot >= dueOf(this.group, 3))
      this.group = extend(this.group, new Uint32Array(roomFor(slot, this.group)));
    if (slot >= dueOf(this.created, 4))
      this.created = extend(this.created, new Float64Array(roomFor(slot, this.created)));
    if (slot >= dueOf(this.end, 5)) this.end = extend(this.end, new Float64Array(roomFor(slot, this.end)));
    const columns = [this.state, this.agent, this.session, this.group, this.created, this.end];
    this.#due = Math.min(...columns.map(dueOf));
  }
}

function dueOf({ length }: { readonly length: number }, place: number): number {
  return Math.floor(length * (0.7 + place * 0.05));
}

function roomFor(slot: number, { length }: { readonly length: number }): number {
  return Math.max(slot + 1, length) * 2;
}

function extend<T extends Uint8Array | Uint32Array | Float64Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
