/**
 * How often a channel may call presence (track and untrack, whether or not they change something): a window opens
 * with a call and counts until it ends. Source: the hosted limit, 5 calls in 30 s.
 */
export interface CallWindow {
  readonly endsAtMs: number;
  readonly calls: number;
}

export interface CallLimit {
  readonly maxCalls: number;
  readonly windowMs: number;
}

/** The window with this call in it, or undefined where the call is one too many. */
export function countCall(
  window: CallWindow | undefined,
  nowMs: number,
  limit: CallLimit,
): CallWindow | undefined {
  if (window === undefined || nowMs >= window.endsAtMs) return { endsAtMs: nowMs + limit.windowMs, calls: 1 };
  return window.calls < limit.maxCalls ? { ...window, calls: window.calls + 1 } : undefined;
}
