import type { Clock } from "../runtime/clock.ts";
import {
  fullBucket,
  quotaUnder,
  refilled,
  spent,
  tokenWaitMs,
  type Bucket,
  type Quota,
} from "../runtime/token-bucket.ts";
import { trackWaitMs, withTrackCall } from "./track-limit.ts";

export interface TrackPaceParts {
  readonly clock: Clock;
  readonly random: () => number;
  /** The plan's presence events a second; undefined where there is no limit. */
  readonly planPerSecond: number | undefined;
  /** How many processes hear of each change, this one among them. */
  readonly processes: () => number;
}

// The server's memory: what was spent longer ago is forgotten there as well.
const rememberedSeconds = 60;
// Long enough that most hear of the first ones before their own turn comes, and within the second that a change may take.
const spreadMs = 500;

/**
 * When this process may show itself: the server limits its calls, and the plan what they bring about in the whole tenant. Everybody hears
 * of every change, so all know alike what is left of the plan; of those who wait for the same moment each waits a random while longer.
 */
export class TrackPace {
  readonly #parts: TrackPaceParts;
  #calledAtMs: readonly number[] = [];
  #bucket: Bucket = fullBucket;
  #isFirst = true;
  /** For the call that comes next. */
  #hasAsked = false;
  #isNewcomer = true;

  constructor(parts: TrackPaceParts) {
    this.#parts = parts;
  }

  /** The server counts the calls of each channel alone. Whoever comes back is taken for gone until it is shown again. */
  newChannel(): void {
    this.#calledAtMs = [];
    this.#hasAsked = true;
  }

  /** Milliseconds until a call may be made; ask again then. The first is made at any rate: until then nobody sees this process, itself included. */
  waitMs(): number {
    const { clock, random, planPerSecond, processes } = this.#parts;
    const nowMs = clock.now();
    const forServer = trackWaitMs(this.#calledAtMs, nowMs);
    if (planPerSecond === undefined || this.#isFirst) return forServer;
    const quota = quotaUnder(planPerSecond);
    const bucket = refilled(this.#bucket, quota, nowMs);
    const forPlan = tokenWaitMs(bucket, quota, this.#cost);
    // Should all want to now, they would go before they hear of each other.
    const isTooMuchAtOnce = this.#cost * processes() > bucket.tokens;
    const mustSpread = forPlan === 0 && isTooMuchAtOnce && !this.#hasAsked;
    this.#hasAsked = true;
    return Math.max(forServer, Math.ceil(mustSpread ? spreadMs * random() : forPlan * (1 + random())));
  }

  called(): void {
    this.#isFirst = this.#hasAsked = false;
    this.#calledAtMs = withTrackCall(this.#calledAtMs, this.#parts.clock.now());
    this.#spend(this.#cost);
  }

  /** So many other processes showed themselves anew, or left. */
  heard(changes: number): void {
    this.#spend(changes * this.#cost);
  }

  /** When each of those who are there already showed itself last: what was spent before a newcomer listened is spent. */
  heardBefore(shownAtMs: readonly number[]): void {
    const { planPerSecond, clock } = this.#parts;
    if (planPerSecond === undefined || !this.#isNewcomer) return;
    this.#isNewcomer = false;
    const [quota, nowMs] = [quotaUnder(planPerSecond), clock.now()];
    let bucket = fullBucket;
    // At least those who had shown themselves before heard of it.
    for (const [others, atMs] of shownAtMs.toSorted((a, b) => a - b).entries())
      bucket = spent(refilled(bucket, quota, Math.min(atMs, nowMs)), others + 2, mostDebtOf(quota));
    this.#spend(quota.burst - refilled(bucket, quota, nowMs).tokens);
  }

  /** A call is an event, and one more for each that hears of it. */
  get #cost(): number {
    return this.#parts.processes() + 1;
  }

  #spend(events: number): void {
    const { clock, planPerSecond } = this.#parts;
    if (planPerSecond === undefined) return;
    const quota = quotaUnder(planPerSecond);
    this.#bucket = spent(refilled(this.#bucket, quota, clock.now()), events, mostDebtOf(quota));
  }
}

function mostDebtOf(quota: Quota): number {
  return rememberedSeconds * quota.perSecond;
}
