import { quotaUnder, tokenWaitMs, type Bucket, type Quota } from "../runtime/token-bucket.ts";

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

export const collectMs = 100;
/** Acknowledgements that may be outstanding; what comes meanwhile shares the next frame. */
export const mostUnderWay = 32;

/** A hub's share of the plan's messages. */
export function quotaOf(planPerSecond: number, hubsOnline: number): Quota {
  return quotaUnder(planPerSecond / Math.max(1, hubsOnline));
}

/** What a frame counts as: one that is sent, and one for each that gets it. */
export function frameCost(hubsOnline: number): number {
  return Math.max(1, hubsOnline); // the sender does not get its own
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
