import type { Clock } from "../runtime/clock.ts";

/** When a worker tries to claim a task that it heard of, by task: the turns that are still to come. */
export class WakeUps {
  readonly #clock: Clock;
  readonly #cancels = new Map<string, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(taskId: string, waitMs: number, wake: () => void): void {
    this.forget(taskId);
    const cancel = this.#clock.after(waitMs, () => {
      this.#cancels.delete(taskId);
      wake();
    });
    this.#cancels.set(taskId, cancel);
  }

  /** Somebody else has it. */
  forget(taskId: string): void {
    this.#cancels.get(taskId)?.();
    this.#cancels.delete(taskId);
  }

  clear(): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }
}
