const TICK_MS = 5000;
const KEPT_TICKS = 12;

/**
 * What happened per second, as a hosted project counts it: whole ticks of 5 s, the mean over those seen so far, at most
 * the last 12. Nothing is known before the first tick ends, so a short burst passes, and a long one is remembered for a
 * minute. No timer: ticks that went by are made up for when somebody looks. Source: session limit-messages.
 */
export class RateWindow {
  readonly #ticks: number[] = [];
  #endsAtMs: number | undefined;
  #current = 0;

  add(count: number, nowMs: number): void {
    this.#catchUp(nowMs);
    this.#current += count;
  }

  /** 0 until the first tick has ended. */
  perSecond(nowMs: number): number {
    this.#catchUp(nowMs);
    if (this.#ticks.length === 0) return 0;
    let sum = 0;
    for (const tick of this.#ticks) sum += tick;
    return (sum * 1000) / (this.#ticks.length * TICK_MS);
  }

  #catchUp(nowMs: number): void {
    this.#endsAtMs ??= nowMs + TICK_MS;
    if (nowMs < this.#endsAtMs) return;
    const passed = Math.floor((nowMs - this.#endsAtMs) / TICK_MS) + 1;
    this.#ticks.push(this.#current);
    for (let empty = 1; empty < Math.min(passed, KEPT_TICKS + 1); empty++) this.#ticks.push(0);
    this.#ticks.splice(0, this.#ticks.length - KEPT_TICKS);
    this.#current = 0;
    this.#endsAtMs += passed * TICK_MS;
  }
}
