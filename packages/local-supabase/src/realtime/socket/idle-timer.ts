import type { RealtimeClock } from "../realtime.ts";

/** Calls once when nothing happened for `limitMs`. Touching costs one look at the clock and no timer. */
export class IdleTimer {
  readonly #clock: RealtimeClock;
  readonly #limitMs: number;
  readonly #onIdle: () => void;
  #touchedAtMs: number;
  #cancel: () => void;

  constructor(clock: RealtimeClock, limitMs: number, onIdle: () => void) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#onIdle = onIdle;
    this.#touchedAtMs = clock.now();
    this.#cancel = clock.after(limitMs, () => this.#look());
  }

  touch(): void {
    this.#touchedAtMs = this.#clock.now();
  }

  stop(): void {
    this.#cancel();
  }

  #look(): void {
    const leftMs = this.#touchedAtMs + this.#limitMs - this.#clock.now();
    if (leftMs <= 0) this.#onIdle();
    else this.#cancel = this.#clock.after(leftMs, () => this.#look());
  }
}
