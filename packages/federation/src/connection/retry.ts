import { backoffMs, type Backoff } from "../runtime/backoff.ts";
import { sleep, withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError, isRetryable, toError } from "../runtime/errors.ts";

export interface RetryPlan {
  readonly attempt: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Set to false for a single try. Default true. */
  readonly retry?: boolean | undefined;
}

const backoff: Backoff = { minMs: 100, maxMs: 3_000 };

/**
 * Runs `task` until it succeeds, fails for good, or time is up: then rejects with "timeout", the last failure as cause. Only for what
 * may safely run twice.
 */
export function retrying<T>(task: (signal: AbortSignal) => Promise<T>, plan: RetryPlan): Promise<T> {
  const { clock, random, timeoutMs, attempt } = plan;
  let last: Error | undefined;
  const run = async (signal: AbortSignal): Promise<T> => {
    for (let tries = 1; ; tries++) {
      try {
        return await task(signal);
      } catch (error) {
        if (plan.retry === false || !isRetryable(error) || signal.aborted) throw error;
        last = toError(error);
        await sleep(clock, backoffMs(tries, backoff, random), signal);
      }
    }
  };
  const error = (): FederationError =>
    new FederationError(
      "timeout",
      `${attempt}: not done within ${timeoutMs} ms${last === undefined ? "" : `; last: ${last.message}`}`,
      {
        cause: last,
      },
    );
  return withDeadline(run, { clock, ms: timeoutMs, signal: plan.signal, error });
}
