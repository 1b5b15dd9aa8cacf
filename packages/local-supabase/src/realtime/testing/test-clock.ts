import type { RealtimeClock } from "../realtime.ts";

/** Time that stands still until it is moved. */
export class TestClock implements RealtimeClock {
  #nowMs: number;
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Runs what is due on the way, earliest first. */
  moveTo(nowMs: number): void {
    for (;;) {
      const due = [...this.#timers]
        .filter(({ atMs }) => atMs <= nowMs)
        .toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.run();
    }
    this.#nowMs = Math.max(this.#nowMs, nowMs);
  }

  advance(ms: number): void {
    this.moveTo(this.#nowMs + ms);
  }
}
