import type { Clock } from "../runtime/clock.ts";

/**
 * A clock for what runs in the background: a process that waits for nothing else may end. While somebody waits (`hold`), it may not,
 * since a retry that sleeps is all that keeps it going.
 */
export interface QuietClock extends Clock {
  /** Keeps the process alive until the returned function is called. */
  hold(): () => void;
}

const longestIntervalMs = 2 ** 31 - 1;

export function quietClock(clock: Clock, isSystem: boolean): QuietClock {
  const told = {
    now: () => clock.now(),
    ...("elapsed" in clock ? { elapsed: () => clock.elapsed?.() ?? 0 } : {}),
  };
  if (!isSystem) return { ...told, after: (ms, run) => clock.after(ms, run), hold: () => () => undefined };
  let holders = 0;
  let keeper: ReturnType<typeof setInterval> | undefined;
  return {
    ...told,
    after: (ms, run) => {
      const timer: unknown = setTimeout(run, Math.min(ms, longestIntervalMs));
      unref(timer);
      return () => clearTimeout(timer as ReturnType<typeof setTimeout>); // what setTimeout returned
    },
    hold: () => {
      holders += 1;
      keeper ??= setInterval(() => undefined, longestIntervalMs);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        holders -= 1;
        if (holders > 0) return;
        clearInterval(keeper);
        keeper = undefined;
      };
    },
  };
}

/** Node's timers can be left out of what keeps a process alive; a browser's are numbers. */
function unref(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function")
    timer.unref();
}
