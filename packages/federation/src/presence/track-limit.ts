/** At most so many calls in any window of this length. */
export interface TrackLimit {
  readonly calls: number;
  readonly windowMs: number;
}

// The server closes a channel at its 6th presence call within 30 s; one call is kept for the way out.
export const trackLimit: TrackLimit = { calls: 4, windowMs: 30_000 };

/** How long the next call must wait, given when the earlier ones were made (oldest first). Pure. */
export function trackWaitMs(
  calledAtMs: readonly number[],
  nowMs: number,
  limit: TrackLimit = trackLimit,
): number {
  const decisive = calledAtMs[calledAtMs.length - limit.calls];
  if (decisive === undefined) return 0;
  return Math.max(0, decisive + limit.windowMs - nowMs + 1);
}

/** The calls that still count, with one made now. Pure. */
export function withTrackCall(
  calledAtMs: readonly number[],
  nowMs: number,
  limit: TrackLimit = trackLimit,
): number[] {
  return [...calledAtMs.filter((at) => at > nowMs - limit.windowMs), nowMs];
}
