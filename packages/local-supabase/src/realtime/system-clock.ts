import type { RealtimeClock } from "./realtime.ts";

/** The real time. Waits never keep the process alive. */
export const systemClock: RealtimeClock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => {
      // Node keeps a list per length of wait, and forgets an empty one at once only if the timer keeps the process
      // alive. The ends of tokens are an hour away and fall on any millisecond: cancelled, each would cost 150 bytes until then.
      timer.ref();
      clearTimeout(timer);
    };
  },
};
