/** Not in the index. */
export const nowhere = 0;
/** In the index, and in no segment as it is now. */
export const tail = 255;

/** Where each slot's vector is to be found: nowhere, in the tail, or in the segment at a place from 1 to 254. */
export class SlotHomes {
  #homes = new Uint8Array(1024);
  readonly #counts = new Uint32Array(256);
  /** Ascending; has all slots of the tail, and may have others that have left it. */
  #list = new Uint32Array(1024);
  #listed = 0;
  #isListComplete = true;

  get(slot: number): number {
    return this.#homes[slot] ?? nowhere;
  }

  /** How many slots are at home there. */
  count(home: number): number {
    return this.#counts[home] ?? 0;
  }

  put(slot: number, home: number): void {
    const before = this.get(slot);
    if (before === home) return;
    if (slot >= this.#homes.length) this.#grow(slot + 1);
    this.#homes[slot] = home;
    this.#counts[before] = this.count(before) - 1;
    this.#counts[home] = this.count(home) + 1;
    if (home === tail) this.#addToList(slot);
  }

  /** Ascending and distinct: all slots of the tail, perhaps some more. Not to be kept beyond the next `put`. */
  tailSlots(): Uint32Array {
    // Half of it left: a new list is quicker than looking at them in each search.
    if (!this.#isListComplete || this.#listed > 2 * this.count(tail) + 1024) this.#listAgain();
    return this.#list.subarray(0, this.#listed);
  }

  /** The slots at home in one of these, ascending; the first `most` of them. */
  slotsOf(homes: readonly number[], most: number = Infinity): Uint32Array {
    const wanted = new Uint8Array(256);
    for (const home of homes) wanted[home] = 1;
    const slots = new Uint32Array(
      Math.min(
        most,
        homes.reduce((sum, home) => sum + this.count(home), 0),
      ),
    );
    let found = 0;
    for (let slot = 0; found < slots.length; slot++) {
      if (wanted[this.#homes[slot] ?? 0] === 1) slots[found++] = slot;
    }
    return slots;
  }

  #addToList(slot: number): void {
    if (!this.#isListComplete) return;
    if (this.#listed > 0 && slot <= (this.#list[this.#listed - 1] ?? 0)) {
      this.#isListComplete = false; // in the middle: when somebody asks for the list
      return;
    }
    if (this.#listed === this.#list.length) {
      const larger = new Uint32Array(this.#list.length * 2);
      larger.set(this.#list);
      this.#list = larger;
    }
    this.#list[this.#listed++] = slot;
  }

  #listAgain(): void {
    const count = this.count(tail);
    if (this.#list.length < count) this.#list = new Uint32Array(count * 2);
    let slot = -1;
    for (let at = 0; at < count; at++) {
      // Neighbours follow each other quickly, and the search for the next one skips what lies between.
      slot = this.#homes[slot + 1] === tail ? slot + 1 : this.#homes.indexOf(tail, slot + 1);
      this.#list[at] = slot;
    }
    this.#listed = count;
    this.#isListComplete = true;
  }

  #grow(least: number): void {
    const larger = new Uint8Array(Math.max(least, this.#homes.length * 2));
    larger.set(this.#homes);
    this.#homes = larger;
  }
}
