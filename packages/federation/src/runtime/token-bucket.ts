/** What may be spent. */
export interface Quota {
  readonly perSecond: number;
  /** What may be spent at once after a rest. */
  readonly burst: number;
}

/** What is left of a quota. */
export interface Bucket {
  /** Below zero: spent ahead, by what costs more than may ever be saved. */
  readonly tokens: number;
  readonly atMs: number;
}

export const fullBucket: Bucket = { tokens: Infinity, atMs: 0 };

export function refilled({ tokens, atMs }: Bucket, quota: Quota, nowMs: number): Bucket {
  const earned = (Math.max(0, nowMs - atMs) * quota.perSecond) / 1000;
  return { tokens: Math.min(quota.burst, tokens + earned), atMs: nowMs };
}

/** Spent by what cannot be held back: the debt grows no larger than `mostDebt`. */
export function spent({ tokens, atMs }: Bucket, cost: number, mostDebt: number): Bucket {
  return { tokens: Math.max(-mostDebt, tokens - cost), atMs };
}

/** Milliseconds until so much may be spent. What costs more than the burst may be when the bucket is full. */
export function tokenWaitMs({ tokens }: Bucket, quota: Quota, cost: number): number {
  const missing = Math.min(cost, quota.burst) - tokens;
  // A rounding error less than a millionth of a message is none: it would be waited for again and again.
  return missing <= 1e-6 ? 0 : Math.ceil((missing * 1000) / quota.perSecond);
}

/**
 * What may be counted against a limit of so much a second. The server looks at the mean of 5 s (realtime's tick): three quarters and a
 * burst of one second stay under it, whenever the five seconds begin.
 */
export function quotaUnder(limitPerSecond: number): Quota {
  return { perSecond: limitPerSecond * 0.75, burst: limitPerSecond };
}
