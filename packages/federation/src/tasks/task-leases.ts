import type { Clock } from "../runtime/clock.ts";
import type { TaskRun } from "./task-run.ts";

export interface TaskLeasesParts {
  readonly clock: Clock;
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** What is held now. */
  readonly runs: ReadonlySet<TaskRun>;
  /** After each time that the leases were to be renewed. */
  readonly renewed: () => void;
}

const leaseMs = 20_000;
const renewEveryMs = 6_000;
const hurriedMs = 500;

/** Renews the leases of what a worker holds, for as long as it holds anything. While it cannot, a run goes on for as long as its lease. */
export class TaskLeases {
  readonly #parts: TaskLeasesParts;
  #everyMs = renewEveryMs;
  #lastRenewedMs = 0;
  #cancel: (() => void) | undefined;

  constructor(parts: TaskLeasesParts) {
    this.#parts = parts;
  }

  /** The first lease was taken just now. */
  begin(): void {
    this.#lastRenewedMs = this.#parts.clock.now();
    this.#after(this.#everyMs);
  }

  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Peers may have seen this process leave, and have had its leases shortened: they are renewed often. */
  hurry(isHurried: boolean): void {
    this.#everyMs = isHurried ? hurriedMs : renewEveryMs;
    if (isHurried && this.#parts.runs.size > 0) this.#after(0);
  }

  #after(ms: number): void {
    this.#cancel?.();
    this.#cancel = this.#parts.clock.after(ms, () => void this.#renew());
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    const { call, clock, runs, renewed } = this.#parts;
    const asked = [...runs].filter((run) => !run.isLost);
    const askedMs = clock.now();
    try {
      const leases = asked.map(({ taskId, fence }) => ({ task_id: taskId, fence }));
      const held = leases.length === 0 ? [] : await call("renew_tasks", { leases });
      const ids = new Set(Array.isArray(held) ? held : []);
      // One that ended meanwhile is not held, and not lost.
      for (const run of asked) if (!ids.has(run.taskId) && runs.has(run)) run.lose("its lease is lost");
      this.#lastRenewedMs = askedMs;
    } catch {
      if (clock.now() - this.#lastRenewedMs > leaseMs)
        for (const run of asked) run.lose("its lease could not be renewed");
    }
    renewed();
    if (runs.size > 0) this.#after(this.#everyMs);
  }
}
