import type { Clock } from "../runtime/clock.ts";
import { isFederationError, isRetryable, toError } from "../runtime/errors.ts";
import { backoffMs } from "../runtime/backoff.ts";
import { newId } from "../runtime/ids.ts";
import { Foresight } from "./foresight.ts";
import { endTask, nextTasks } from "./next-tasks.ts";
import type { ReadyTask } from "./task-event.ts";
import { TaskRun, type TaskHandler, type TaskOutcome } from "./task-run.ts";
import type { FederationTask } from "./task.ts";
import { TaskLeases } from "./task-leases.ts";
import { wakeDelayMs } from "./wake-up.ts";
import { WakeUps } from "./wake-ups.ts";

export interface WorkOptions {
  /** How many tasks run at once. Default 1. */
  readonly concurrency?: number | undefined;
  /** Also takes tasks that were assigned to one of these. Default: the hub's capabilities. */
  readonly capabilities?: readonly string[] | undefined;
  /** When it aborts no more is claimed; what runs is finished, or given back after `graceMs`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. Default 10,000. */
  readonly graceMs?: number | undefined;
}

export interface TaskWorkerParts {
  readonly agentId: string;
  readonly instanceId: string;
  readonly concurrency: number;
  readonly capabilities: readonly string[];
  readonly graceMs: number;
  readonly handler: TaskHandler;
  readonly clock: Clock;
  readonly random: () => number;
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** How many agents the tenant has now. */
  readonly agents: () => number;
  readonly onError: (error: Error, during: string) => void;
}

// With many workers each looks as much less often: a tenant is looked at about this often, however many they are. What a frozen
// worker holds is claimed by another in the end by such a look, 20 s and one look after its last word.
const lookEveryMs = 2_000;
const retry = { minMs: 250, maxMs: 10_000 };
// In one call. Results may be large.
const mostReports = 100;
// What was claimed ahead and has not begun by then is given back.
const longestWaitMs = 100;

type Timer = "look" | "grace" | "wait";

/** How a run ended, to be told. */
interface Report {
  readonly outcome: TaskOutcome;
  readonly told: (error?: unknown) => void;
}

/*  working ──stop──▶ finishing ──all ended, or grace over and given back──▶ ended */
/**
 * Claims tasks, runs them, keeps their leases, and says how they ended, in one call at a time. It does not poll: announcements wake it,
 * and a look now and then finds what an announcement was lost for, or what a worker that froze has let go.
 */
export class TaskWorker {
  /** Resolves when nothing runs any more. */
  readonly ended: Promise<void>;
  readonly #parts: TaskWorkerParts;
  readonly #runs = new Set<TaskRun>();
  readonly #wakeUps: WakeUps;
  readonly #leases: TaskLeases;
  readonly #cancels = new Map<Timer, () => void>();
  readonly #reports: Report[] = [];
  readonly #foresight: Foresight;
  /** Of the next claim that is answered: until then it stays the same claim. */
  #claimId = newId();
  #failures = 0;
  #isTurning = false;
  #isWanted = false;
  #isStopping = false;
  #hasEnded = false;
  #end: () => void = () => {};

  constructor(parts: TaskWorkerParts) {
    this.#parts = parts;
    this.#foresight = new Foresight(parts.concurrency);
    this.#wakeUps = new WakeUps(parts.clock);
    const { clock, call } = parts;
    this.#leases = new TaskLeases({ clock, call, runs: this.#runs, renewed: () => this.#lookForAnswers() });
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.claim();
  }

  /** Announced: a task that this worker may be allowed to claim. */
  ready(task: ReadyTask): void {
    const { agentId, instanceId, capabilities, agents } = this.#parts;
    const isOwn = task.assignedTo === agentId;
    const isOpen =
      task.assignedTo === undefined &&
      (task.capability === undefined || capabilities.includes(task.capability));
    if (this.#isStopping || (!isOwn && !isOpen)) return;
    const waitMs = task.readyInMs + (isOwn ? 0 : wakeDelayMs(task.taskId, instanceId, agents()));
    if (waitMs <= 0) return this.claim();
    this.#wakeUps.set(task.taskId, waitMs, () => this.claim());
  }

  /** Announced: how a task goes on. */
  changed(taskId: string, status: string): void {
    if (status !== "pending" && status !== "assigned") this.#wakeUps.forget(taskId);
    for (const run of this.#runs) {
      if (run.taskId !== taskId) continue;
      if (status === "cancelled") run.lose("it was cancelled");
      else if (run.isAsking) this.#look(run);
    }
  }

  /** There may be something to claim. */
  claim(): void {
    this.#isWanted = true;
    if (!this.#isTurning) void this.#takeTurns();
  }

  /** Claims no more; `ended` resolves when what runs has ended, or was given back after the grace time. */
  stop(graceMs: number = this.#parts.graceMs): void {
    if (!this.#isStopping) {
      this.#isStopping = true;
      this.#wakeUps.clear();
      this.#cancel("look");
      this.#giveBackWaiting();
      this.#endIfDone();
    }
    if (this.#hasEnded) return;
    this.#after("grace", graceMs, () => {
      // A handler that does not listen to its signal is not waited for.
      void Promise.all([...this.#runs].map((run) => run.giveBack())).then(() => this.#finish());
    });
  }

  /** Peers may have seen this process leave, and have had its leases shortened: it renews them often. */
  hurry(isHurried: boolean): void {
    this.#leases.hurry(isHurried);
  }

  /** Never rejects. */
  async #takeTurns(): Promise<void> {
    this.#isTurning = true;
    while (this.#reports.length > 0 || this.#mayClaim()) await this.#takeTurn();
    this.#isTurning = false;
    this.#lookLater();
    this.#endIfDone();
  }

  #mayClaim(): boolean {
    return this.#isWanted && !this.#isStopping && this.#count("isHandling") < this.#parts.concurrency;
  }

  async #takeTurn(): Promise<void> {
    await this.#momentOver();
    const { call, capabilities, instanceId, concurrency } = this.#parts;
    const reports = this.#reports.splice(0, mostReports);
    const wanted = concurrency + this.#foresight.ahead - this.#count("isHandling") - this.#count("isWaiting");
    const free = this.#mayClaim() ? Math.min(wanted, 1000) : 0;
    if (free > 0) this.#isWanted = false;
    try {
      const { tasks, refused } = await nextTasks(call, {
        claim_id: this.#claimId,
        max_tasks: free,
        capabilities,
        instance_id: instanceId,
        ended: reports.map(({ outcome }) => outcome),
      });
      this.#failures = 0;
      if (free > 0) this.#claimId = newId();
      if (free > 0 && tasks.length >= free) {
        this.#isWanted = true;
        this.#foresight.thereIsMore();
      }
      for (const { outcome, told } of reports) told(refused.get(outcome.task_id));
      for (const row of tasks) this.#claimed(row);
      this.#begin();
      // Claimed when it had to end: nobody shall wait for the leases.
      if (this.#isStopping) this.#giveBackWaiting();
    } catch (error) {
      await this.#turnFailed(error, reports, free > 0);
    }
  }

  /** What ends in the same moment is told together, and handlers that need no time end in one moment. */
  async #momentOver(): Promise<void> {
    for (let known = -1; known < this.#reports.length && known < mostReports;) {
      known = this.#reports.length;
      for (let step = 0; step < 10; step++) await Promise.resolve();
    }
  }

  #claimed(row: FederationTask): void {
    const { call, handler, clock } = this.#parts;
    let begunMs = 0;
    let isTold = false;
    const run = new TaskRun(row, {
      call,
      handler: (task) => {
        begunMs = clock.now();
        return handler(task);
      },
      onError: this.#toldBy(row.task_id),
      tell: (outcome) => {
        isTold = true;
        this.#foresight.took(clock.now() - begunMs);
        return this.#tell(outcome);
      },
    });
    if (this.#runs.size === 0) this.#leases.begin();
    this.#runs.add(run);
    void run.ended.then(() => {
      this.#runs.delete(run);
      if (this.#runs.size === 0) this.#leases.end();
      if (this.#isStopping) this.#endIfDone();
      else if (!isTold) this.claim();
    });
  }

  /** Every free hand takes one that waits. */
  #begin(): void {
    let free = this.#parts.concurrency - this.#count("isHandling");
    for (const run of this.#runs) {
      if (free <= 0) break;
      if (!run.isWaiting) continue;
      run.begin();
      free -= 1;
    }
    if (this.#count("isWaiting") === 0) this.#cancel("wait");
    else this.#after("wait", longestWaitMs, () => this.#giveBackWaiting());
  }

  /** They shall not wait for what takes long here. */
  #giveBackWaiting(): void {
    this.#cancel("wait");
    this.#foresight.wasWrong();
    for (const run of this.#runs) if (run.isWaiting) void run.giveBack();
  }

  #count(what: "isHandling" | "isWaiting"): number {
    let count = 0;
    for (const run of this.#runs) if (run[what]) count += 1;
    return count;
  }

  async #turnFailed(error: unknown, reports: readonly Report[], wasClaiming: boolean): Promise<void> {
    const { call, onError, random } = this.#parts;
    if (reports.length > 0 && !isRetryable(error)) {
      // One of them may be to blame.
      await Promise.all(reports.map(({ outcome, told }) => endTask(call, outcome).then(() => told(), told)));
      this.#isWanted ||= wasClaiming;
      return;
    }
    for (const { told } of reports) told(error);
    this.#failures += 1;
    if (!isRetryable(error) || this.#failures === 3) onError(toError(error), "claiming tasks");
    if (!this.#isStopping) this.#after("look", backoffMs(this.#failures, retry, random), () => this.claim());
  }

  /** Never rejects. That the task had moved on is no failure: the database has kept what there was to keep. */
  #tell(outcome: TaskOutcome): Promise<void> {
    return new Promise((resolve) => {
      const told = (error?: unknown): void => {
        if (error !== undefined && !isFederationError(error, "invalid_state"))
          this.#toldBy(outcome.task_id)(toError(error));
        resolve();
      };
      this.#reports.push({ outcome, told });
      this.#begin();
      this.claim(); // there is a free hand, too
    });
  }

  #lookForAnswers(): void {
    for (const run of this.#runs) if (run.isAsking) this.#look(run);
  }

  #look(run: TaskRun): void {
    run.look().catch((error: unknown) => {
      if (!isRetryable(error)) this.#parts.onError(toError(error), `reading task ${run.taskId}`);
    });
  }

  #lookLater(): void {
    const { agents, random } = this.#parts;
    if (this.#isStopping || this.#failures > 0) return;
    const ms = lookEveryMs * Math.max(1, agents()) * (0.75 + random() / 2);
    this.#after("look", ms, () => this.claim());
  }

  #endIfDone(): void {
    if (this.#isStopping && !this.#isTurning && this.#runs.size === 0) this.#finish();
  }

  #finish(): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
    this.#leases.end();
    this.#hasEnded = true;
    this.#end();
  }

  #after(name: Timer, ms: number, run: () => void): void {
    this.#cancel(name);
    this.#cancels.set(name, this.#parts.clock.after(ms, run));
  }

  #cancel(name: Timer): void {
    this.#cancels.get(name)?.();
    this.#cancels.delete(name);
  }

  #toldBy(taskId: string): (error: Error) => void {
    return (error) => this.#parts.onError(error, `task ${taskId}`);
  }
}
