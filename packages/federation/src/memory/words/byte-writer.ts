/** Bytes that grow. Numbers are written seven bits a byte, lowest first, the highest bit saying that more follow. */
export class ByteWriter {
  #bytes = new Uint8Array(4096);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  number(value: number): void {
    this.#reserve(5);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  bytes(from: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#reserve(length);
    // Below some dozens of bytes, a loop is faster than what it takes to make the view.
    if (length > 48) this.#bytes.set(from.subarray(start, end), this.#length);
    else for (let at = 0; at < length; at++) this.#bytes[this.#length + at] = from[start + at] ?? 0;
    this.#length += length;
  }

  /** Written up to `length`; until the next write. */
  get written(): Uint8Array {
    return this.#bytes;
  }

  copy(start: number, end: number): Uint8Array {
    return this.#bytes.slice(start, end);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
