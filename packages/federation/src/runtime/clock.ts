/** Time as an option, so that tests can move it by hand. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds since some moment, which no change of the time of day moves. Left out: then such a change goes unnoticed. */
  elapsed?(): number;
  /** Calls `run` once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void;
}

// setTimeout takes 31 bits; a longer wait would fire at once.
const longestWaitMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, Math.min(ms, longestWaitMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms`, rejects with the signal's reason as soon as it aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error); // an abort reason is whatever was thrown into it
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.after(Math.max(0, ms), () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Resolves when the promise has settled, whichever way, or the signal has aborted. */
export async function settledOrAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let stop = (): void => {};
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  await Promise.race([Promise.allSettled([promise]), stopped]);
  signal.removeEventListener("abort", stop);
}

export interface Deadline {
  readonly clock: Clock;
  readonly ms: number;
  /** Stops waiting as well; the promise rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** What the promise rejects with when time is up. */
  readonly error: () => Error;
}

/**
 * Runs `task` with a signal that aborts when time is up or the outer signal aborts, and settles then even if `task` does not.
 * What `task` does later is ignored.
 */
export function withDeadline<T>(task: (signal: AbortSignal) => Promise<T>, deadline: Deadline): Promise<T> {
  const { clock, ms, signal } = deadline;
  const controller = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const giveUp = (reason: unknown): void => {
      settle();
      controller.abort(reason);
      reject(reason as Error); // either deadline.error() or the outer signal's reason
    };
    const onAbort = (): void => giveUp(signal?.reason);
    const cancel = clock.after(ms, () => giveUp(deadline.error()));
    const settle = (): void => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    task(controller.signal).then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error as Error);
      },
    );
  });
}
