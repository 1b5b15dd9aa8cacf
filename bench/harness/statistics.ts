/** What a series of durations comes to, in milliseconds. */
export interface Summary {
  readonly count: number;
  readonly minMs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Nearest-rank percentiles: every figure is one that was measured. Needs at least one sample. */
export function summarize(samplesMs: readonly number[]): Summary {
  const sorted = samplesMs.toSorted((a, b) => a - b);
  const at = (rank: number): number => {
    const sample = sorted[Math.max(0, Math.ceil(rank * sorted.length) - 1)];
    if (sample === undefined) throw new RangeError("summarize: expected at least one sample, got none");
    return sample;
  };
  return {
    count: sorted.length,
    minMs: at(0),
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
    maxMs: at(1),
  };
}

/** Three digits after the point: what lies below is noise of the clock, and a raw sample costs fewer bytes. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
