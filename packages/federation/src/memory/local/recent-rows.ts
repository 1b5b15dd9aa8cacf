/** A row as the tables have it, its checksums looked at. */
export interface RecentRow {
  /** As `rowFromJson` reads it. */
  readonly text: string;
  /** Nobody changes it. */
  readonly embedding: Float32Array | null;
}

/** Beside text and embedding, about. */
const otherBytes = 200;

/**
 * Rows of a tenant that searches found lately, at most so many bytes of them: found again, they are neither read nor checked again. Who
 * changes a row drops it here. What has been here longest goes first.
 */
export class RecentRows {
  readonly #mostBytes: number;
  readonly #rows = new Map<number, RecentRow>();
  #bytes = 0;

  constructor(mostBytes: number = 4 * 1_048_576) {
    this.#mostBytes = mostBytes;
  }

  get(slot: number): RecentRow | undefined {
    return this.#rows.get(slot);
  }

  /** One that is large is not kept: many others would have to go. */
  put(slot: number, row: RecentRow): void {
    this.drop(slot);
    const bytes = bytesOf(row);
    if (bytes > this.#mostBytes / 16) return;
    this.#rows.set(slot, row);
    this.#bytes += bytes;
    for (const [longest, oldest] of this.#rows) {
      if (this.#bytes <= this.#mostBytes) break;
      this.#rows.delete(longest);
      this.#bytes -= bytesOf(oldest);
    }
  }

  drop(slot: number): void {
    const row = this.#rows.get(slot);
    if (row === undefined) return;
    this.#rows.delete(slot);
    this.#bytes -= bytesOf(row);
  }
}

function bytesOf({ text, embedding }: RecentRow): number {
  return otherBytes + text.length * 2 + (embedding?.byteLength ?? 0);
}
