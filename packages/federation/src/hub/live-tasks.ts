import type { ResolvedHubOptions } from "../config/hub-options.ts";
import { LockKeeper } from "../locks/lock-keeper.ts";
import type { RosterChange } from "../presence/roster.ts";
import type { Emitter } from "../runtime/emitter.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import { leaseLeftMs, LeaveReporter } from "../tasks/leave-reporter.ts";
import { parseReadyTasks, parseTaskEvents } from "../tasks/task-event.ts";
import type { TaskHandler } from "../tasks/task-run.ts";
import { TaskWorker, type WorkOptions } from "../tasks/task-worker.ts";
import type { HubEvents } from "./hub-events.ts";

export interface LiveTasksParts {
  readonly options: ResolvedHubOptions;
  readonly emitter: Emitter<HubEvents>;
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** How many agents are here. */
  readonly agents: () => number;
  readonly onError: (error: Error, during: string) => void;
}

// What runs when the hub closes is given back by then.
const closeGraceMs = 500;

/** What of a hub has to do with tasks and locks while it runs: its workers, and who hears what the database announces. */
export class LiveTasks {
  readonly locks: LockKeeper;
  readonly #parts: LiveTasksParts;
  readonly #workers = new Set<TaskWorker>();
  readonly #reporter: LeaveReporter;
  #queuePosition = 0;
  #isConnected = true;

  constructor(parts: LiveTasksParts) {
    const { options, call, agents, emitter } = parts;
    const { agentId, instanceId, clock, random, log } = options;
    this.#parts = parts;
    this.#reporter = new LeaveReporter({ agentId, clock, random, log, call });
    this.locks = new LockKeeper({
      instanceId,
      clock,
      call,
      agents,
      tell: (event, lock) => void emitter.emit(event, lock),
    });
  }

  /** Resolves when the work has ended: its signal aborted, or the hub closed. */
  async work(
    handler: TaskHandler,
    { concurrency = 1, capabilities, signal, graceMs = 10_000 }: WorkOptions,
  ): Promise<void> {
    const { options, call, agents, onError } = this.#parts;
    const worker = new TaskWorker({
      agentId: options.agentId,
      instanceId: options.instanceId,
      concurrency,
      capabilities: capabilities ?? options.capabilities,
      graceMs,
      handler: this.#traced(handler),
      clock: options.clock,
      random: options.random,
      call,
      agents,
      onError,
    });
    this.#workers.add(worker);
    worker.hurry(!this.#isConnected);
    const onAbort = (): void => worker.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) worker.stop();
    await worker.ended;
    signal?.removeEventListener("abort", onAbort);
    this.#workers.delete(worker);
  }

  #traced(handler: TaskHandler): TaskHandler {
    const { tracing } = this.#parts.options;
    return (task) => {
      const { task_id, attempt, traceparent: parent } = task;
      const attributes = { "task.id": task_id, "task.attempt": attempt };
      return tracing.span({ name: "work", kind: "consumer", parent, attributes }, async () => handler(task));
    };
  }

  heardTasks(payload: unknown): void {
    for (const { name, event } of parseTaskEvents(payload)) {
      for (const worker of this.#workers) worker.changed(event.task_id, event.status);
      this.#parts.emitter.emit(name, event);
    }
  }

  heardReady(payload: unknown): void {
    for (const ready of parseReadyTasks(payload)) for (const worker of this.#workers) worker.ready(ready);
  }

  heardGone(payload: unknown): void {
    this.#reporter.heard(payload);
    const instance = isRecord(payload) ? stringField(payload, "instance") : undefined;
    if (instance === undefined) return;
    // What it held can be claimed when its leases have ended, also should the one that reported it be gone by then.
    const anything = {
      taskId: instance,
      assignedTo: undefined,
      capability: undefined,
      readyInMs: leaseLeftMs,
    };
    for (const worker of this.#workers) worker.ready(anything);
  }

  rosterChanged(changes: readonly RosterChange[]): void {
    for (const change of changes) this.#reporter.changed(change);
  }

  /** The newest queued task that this agent may claim, as the heartbeat's answer names it. */
  position(queue: number): void {
    if (queue > this.#queuePosition) this.missed();
    this.#queuePosition = queue;
  }

  /** Announcements may have been missed. */
  missed(): void {
    for (const worker of this.#workers) worker.claim();
  }

  connected(isConnected: boolean): void {
    if (isConnected === this.#isConnected) return;
    this.#isConnected = isConnected;
    for (const worker of this.#workers) worker.hurry(!isConnected);
  }

  /** Gives back what runs and lets all locks go. Never rejects. */
  async close(): Promise<void> {
    this.#reporter.close();
    for (const worker of this.#workers) worker.stop(closeGraceMs);
    await Promise.all([...this.#workers].map((worker) => worker.ended));
    await this.locks.close();
  }
}
