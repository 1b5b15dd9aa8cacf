/** Slots in ascending order. Adding at the end is cheap, and most additions are. */
export class SortedSlots {
  #slots = new Uint32Array(8);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view that the next change may alter. */
  get view(): Uint32Array {
    return this.#slots.subarray(0, this.#length);
  }

  add(slot: number): void {
    const at = this.#placeOf(slot);
    if (at < this.#length && this.#slots[at] === slot) return;
    if (this.#length === this.#slots.length) {
      const larger = new Uint32Array(this.#length * 2);
      larger.set(this.#slots);
      this.#slots = larger;
    }
    this.#slots.copyWithin(at + 1, at, this.#length);
    this.#slots[at] = slot;
    this.#length += 1;
  }

  remove(slot: number): void {
    const at = this.#placeOf(slot);
    if (at === this.#length || this.#slots[at] !== slot) return;
    this.#slots.copyWithin(at, at + 1, this.#length);
    this.#length -= 1;
  }

  #placeOf(slot: number): number {
    let low = 0;
    let high = this.#length;
    if (high === 0 || slot > (this.#slots[high - 1] ?? 0)) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#slots[middle] ?? 0) < slot) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
