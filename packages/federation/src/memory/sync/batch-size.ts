/** How much to send, or to ask for, in one request. Pure: each answer makes the next size. */
export interface BatchSize {
  readonly maxRows: number;
  readonly maxBytes: number;
  /** Rows that were too many not long ago: beyond half of it, growing is careful. */
  readonly refusedRows: number;
}

export interface BatchLimits {
  readonly first: { readonly maxRows: number; readonly maxBytes: number };
  readonly most: { readonly maxRows: number; readonly maxBytes: number };
}

export interface TakenBatch {
  /** Whether the limits held rows back. */
  readonly isFull: boolean;
  readonly tookMs: number;
}

// A request as long as this is long enough: hosted projects end statements after 8 s.
const longMs = 1_500;
const leastBytes = 16_384;

export function firstBatchSize({ first }: BatchLimits): BatchSize {
  return { ...first, refusedRows: Infinity };
}

/** Twice as much where it went well and more was waiting; a little more where as much was refused before; less where it took long. */
export function afterTaken(size: BatchSize, taken: TakenBatch, { most }: BatchLimits): BatchSize {
  // A part of a batch that took long was slow for another reason.
  if (!taken.isFull) return size;
  if (taken.tookMs > 2 * longMs) return halved(size, size.maxRows);
  if (taken.tookMs > longMs) return size;
  const factor = size.maxRows * 2 < size.refusedRows ? 2 : 1.125;
  return {
    maxRows: Math.min(most.maxRows, Math.ceil(size.maxRows * factor)),
    maxBytes: Math.min(most.maxBytes, Math.ceil(size.maxBytes * factor)),
    refusedRows: size.maxRows * factor > size.refusedRows * 2 ? Infinity : size.refusedRows,
  };
}

/** Half of what was too much: too large, or not done in time. */
export function afterTooMuch(size: BatchSize, rows: number): BatchSize {
  return { ...halved(size, rows), refusedRows: Math.max(2, rows) };
}

function halved(size: BatchSize, rows: number): BatchSize {
  return {
    maxRows: Math.max(1, Math.floor(Math.min(rows, size.maxRows) / 2)),
    maxBytes: Math.max(leastBytes, Math.floor(size.maxBytes / 2)),
    refusedRows: size.refusedRows,
  };
}
