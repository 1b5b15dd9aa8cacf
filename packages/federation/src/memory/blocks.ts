const blockBytes = 262_144;

/**
 * Typed arrays beside each other in large blocks, each of which goes when nothing of it is used any more. V8 answers array buffers that are
 * made while much memory lies outside of its heap with steps of garbage collection, of up to 10 ms each, so that a bulk write must make few.
 */
export class Blocks {
  #block = new ArrayBuffer(0);
  #used = 0;

  /** Zeros. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return new Uint8Array(this.#block, start, length);
  }

  floats(values: Float32Array): Float32Array {
    const start = this.#take(values.byteLength);
    const copy = new Float32Array(this.#block, start, values.length);
    copy.set(values);
    return copy;
  }

  #take(sizeBytes: number): number {
    const start = Math.ceil(this.#used / 4) * 4;
    this.#used = start + sizeBytes;
    if (this.#used <= this.#block.byteLength) return start;
    this.#block = new ArrayBuffer(Math.max(blockBytes, sizeBytes));
    this.#used = sizeBytes;
    return 0;
  }
}
