/**
 * Who may hold the event loop, and for how long: all searches and writes of a process together get `limitMs` of one turn of the loop, and then go on
 * one after the other, each in a turn of its own. The limit leaves room for what others do in the same turn.
 */
export class Turns {
  readonly #limitMs: number;
  readonly #nowMs: () => number;
  readonly #afterTurn: (then: () => void) => void;
  readonly #waiting: (() => void)[] = [];
  /** Undefined until somebody worked in this turn. */
  #overAtMs: number | undefined;

  constructor({
    limitMs = 4,
    nowMs = () => performance.now(),
    afterTurn = nextTurn,
  }: { limitMs?: number; nowMs?: () => number; afterTurn?: (then: () => void) => void } = {}) {
    this.#limitMs = limitMs;
    this.#nowMs = nowMs;
    this.#afterTurn = afterTurn;
  }

  /** Said by who works without having asked. */
  begin(): void {
    if (this.#overAtMs === undefined) this.#begin();
  }

  /** Asked before each piece of work. */
  isOver(): boolean {
    if (this.#overAtMs === undefined) {
      this.#begin();
      return false;
    }
    return this.#nowMs() >= this.#overAtMs;
  }

  /** Resolves when the loop has turned and it is the caller's turn, first come, first served. It works before it asks again. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.begin();
    });
  }

  #begin(): void {
    this.#overAtMs = this.#nowMs() + this.#limitMs;
    this.#afterTurn(() => {
      this.#overAtMs = undefined;
      const first = this.#waiting.shift();
      if (first === undefined) return;
      this.#begin();
      first();
    });
  }
}

/** Of the process. */
export const turns: Turns = new Turns();

/** The loop turns, and timers and sockets are served, before `then` runs. Where only timers do that, they wait a little longer. */
function nextTurn(then: () => void): void {
  if (typeof setImmediate === "function") setImmediate(then);
  else setTimeout(then, 0);
}
