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

  grow(slot: number): void {
    if (slot >= this.used) this.used = slot + 1;
    if (slot < this.state.length) return;
    const capacity = Math.max(slot + 1, this.state.length * 2);
    this.state = extend(this.state, new Uint8Array(capacity));
    this.agent = extend(this.agent, new Uint32Array(capacity));
    this.session = extend(this.session, new Uint32Array(capacity));
    this.group = extend(this.group, new Uint32Array(capacity));
    this.created = extend(this.created, new Float64Array(capacity));
    this.end = extend(this.end, new Float64Array(capacity));
  }
}

function extend<T extends Uint8Array | Uint32Array | Float64Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
