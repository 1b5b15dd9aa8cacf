const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads what ByteWriter wrote. Throws RangeError past the end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  uint8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  uint32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  float64(): number {
    return this.#view.getFloat64(this.#skip(8), true);
  }

  /** Skips what the writer's `align` put in. */
  align(): void {
    this.#skip(-this.#at & 3);
  }

  text(): string {
    return utf8.decode(this.bytes());
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    const length = this.uint32();
    const start = this.#skip(length);
    if (start + length > this.#bytes.length) throw new RangeError("bytes end before their length says");
    return this.#bytes.subarray(start, start + length);
  }

  #skip(sizeBytes: number): number {
    const at = this.#at;
    this.#at += sizeBytes;
    return at;
  }
}
