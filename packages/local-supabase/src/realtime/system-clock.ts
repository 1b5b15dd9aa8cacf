import type { RealtimeClock } from "./realtime.ts";

/** The real time. Waits never keep the process alive. */
export const systemClock: RealtimeClock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
