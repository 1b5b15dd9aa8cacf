/** Builds little-endian bytes; grows as needed. */
export class ByteWriter {
  #bytes: Buffer<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** Into bytes that are given, as long as they are enough, or into new ones. */
  constructor(into: number | Uint8Array<ArrayBuffer> = 256) {
    this.#bytes =
      typeof into === "number"
        ? Buffer.allocUnsafe(into) // small ones come out of Node's pool: a record of one row has no memory of its own
        : Buffer.from(into.buffer, into.byteOffset, into.byteLength);
    this.#view = viewOf(this.#bytes);
  }

  get length(): number {
    return this.#length;
  }

  uint8(value: number): void {
    const at = this.#take(1); // first: it may put another view in place of this one
    this.#view.setUint8(at, value);
  }

  uint32(value: number): void {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
  }

  /** Whole numbers up to 2^53 as well. */
  float64(value: number): void {
    const at = this.#take(8);
    this.#view.setFloat64(at, value, true);
  }

  /** Length and UTF-8. Returns where the UTF-8 lies. */
  text(value: string): { readonly start: number; readonly end: number } {
    this.#reserve(4 + value.length * 3); // the most that UTF-8 needs
    const start = this.#length + 4;
    const written = this.#bytes.write(value, start);
    this.#view.setUint32(this.#length, written, true);
    this.#length = start + written;
    return { start, end: this.#length };
  }

  /** Length and bytes. Returns where the bytes lie. */
  bytes(value: Uint8Array): { readonly start: number; readonly end: number } {
    this.uint32(value.byteLength);
    const start = this.#take(value.byteLength);
    this.#bytes.set(value, start);
    return { start, end: this.#length };
  }

  /** So that what follows a length lies where 32-bit numbers may. */
  align(): void {
    const at = this.#take(-this.#length & 3);
    this.#bytes.fill(0, at, this.#length);
  }

  /** What was written; a view that later writes do not move. */
  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#length);
  }

  #take(sizeBytes: number): number {
    this.#reserve(sizeBytes);
    const at = this.#length;
    this.#length += sizeBytes;
    return at;
  }

  #reserve(sizeBytes: number): void {
    if (this.#length + sizeBytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + sizeBytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
