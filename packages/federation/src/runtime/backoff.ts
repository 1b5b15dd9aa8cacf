/** How waits grow: doubling from `minMs` to `maxMs`, the actual wait being a random share of the upper half. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/** The wait before try number `attempt` (1 is the first retry). `random` is from 0 up to 1. */
export function backoffMs(attempt: number, backoff: Backoff, random: () => number): number {
  const { minMs, maxMs } = backoff;
  if (!(minMs > 0 && minMs <= maxMs)) {
    throw new RangeError(`backoff: expected 0 < minMs <= maxMs, got minMs=${minMs} maxMs=${maxMs}`);
  }
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 30));
  return ceiling * (0.5 + random() / 2);
}
