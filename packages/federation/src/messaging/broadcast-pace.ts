/** What one hub may have counted against the plan. */
export interface Quota {
  readonly perSecond: number;
  /** What may be spent at once after a rest. */
  readonly burst: number;
}

/** What is left of a quota. */
export interface Bucket {
  /** Below zero: spent ahead, by a frame that costs more than may ever be saved. */
  readonly tokens: number;
  readonly atMs: number;
}

/** What there is to send, and what there is to send it with. */
export interface Outgoing {
  readonly latency: "low" | "high";
  /** When the oldest that waits was handed over; undefined when nothing waits. */
  readonly oldestMs: number | undefined;
  /** More waits than one frame takes. */
  readonly fillsFrame: boolean;
  readonly framesUnderWay: number;
  readonly isClosing: boolean;
  /** Undefined: the server has no limit. */
  readonly quota: Quota | undefined;
  readonly bucket: Bucket;
  readonly cost: number;
}

/** To send a frame, to look again after so long, or to rest until something changes. */
export type Step =
  | { readonly name: "send" }
  | { readonly name: "wait"; readonly ms: number }
  | { readonly name: "rest" };

export const fullBucket: Bucket = { tokens: Infinity, atMs: 0 };
export const collectMs = 100;
/** Acknowledgements that may be outstanding; what comes meanwhile shares the next frame. */
export const mostUnderWay = 32;

/**
 * A hub's share of the plan. The server looks at the mean of 5 s (realtime's tick): three quarters of the share and a burst of one
 * second stay under it, whenever the five seconds begin.
 */
export function quotaOf(planPerSecond: number, hubsOnline: number): Quota {
  const share = planPerSecond / Math.max(1, hubsOnline);
  return { perSecond: share * 0.75, burst: share };
}

/** What a frame counts as: one that is sent, and one for each that gets it. */
export function frameCost(hubsOnline: number): number {
  return Math.max(1, hubsOnline); // the sender does not get its own
}

export function refilled({ tokens, atMs }: Bucket, quota: Quota, nowMs: number): Bucket {
  const earned = (Math.max(0, nowMs - atMs) * quota.perSecond) / 1000;
  return { tokens: Math.min(quota.burst, tokens + earned), atMs: nowMs };
}

/** Spent by what cannot be held back. However much that is, broadcasts wait for no more than it takes to earn two bursts. */
export function spent({ tokens, atMs }: Bucket, quota: Quota, cost: number): Bucket {
  return { tokens: Math.max(-quota.burst, tokens - cost), atMs };
}

/** Milliseconds until a frame of this cost may go. One that costs more than the burst goes when the bucket is full. */
export function tokenWaitMs({ tokens }: Bucket, quota: Quota, cost: number): number {
  const missing = Math.min(cost, quota.burst) - tokens;
  // A rounding error less than a millionth of a message is none: it would be waited for again and again.
  return missing <= 1e-6 ? 0 : Math.ceil((missing * 1000) / quota.perSecond);
}

/** What to do now. Pure; `bucket` is refilled up to now. */
export function nextStep(outgoing: Outgoing, nowMs: number): Step {
  const { latency, oldestMs, fillsFrame, framesUnderWay, isClosing, quota, bucket, cost } = outgoing;
  if (oldestMs === undefined || framesUnderWay >= mostUnderWay) return { name: "rest" };
  const isDue = latency === "low" || fillsFrame || isClosing;
  const collectedInMs = isDue ? 0 : oldestMs + collectMs - nowMs;
  const ms = Math.max(collectedInMs, quota === undefined ? 0 : tokenWaitMs(bucket, quota, cost));
  return ms > 0 ? { name: "wait", ms } : { name: "send" };
}

/** How many of the first fit into a frame of this size; at least one. */
export function fitting(sizes: readonly { readonly sizeBytes: number }[], maxBytes: number): number {
  let count = 0;
  let total = 0;
  for (const { sizeBytes } of sizes) {
    total += sizeBytes;
    if (count > 0 && total > maxBytes) break;
    count++;
  }
  return count;
}
