import type { HeldLock, LockHolder, LockOptions } from "../locks/lock-keeper.ts";
import { toPayload } from "../messaging/message.ts";
import type { AgentPresence } from "../presence/agent-presence.ts";
import { FederationError } from "../runtime/errors.ts";
import { storable } from "../runtime/json.ts";
import { selectAgent, type SelectOptions } from "../tasks/select-agent.ts";
import type { TaskHandler } from "../tasks/task-run.ts";
import type { WorkOptions } from "../tasks/task-worker.ts";
import {
  checkTask,
  parseTask,
  type FederationTask,
  type TaskAssignment,
  type TaskStatus,
} from "../tasks/task.ts";
import { MessagingHub } from "./messaging-hub.ts";

export interface ListTasksOptions {
  readonly status?: TaskStatus | readonly TaskStatus[] | undefined;
  /** Assigned by this agent, to it, or held by it. */
  readonly agent?: string | undefined;
  /** The `seq` of the last task of the page before. */
  readonly after?: number | undefined;
  /** Default 100. */
  readonly limit?: number | undefined;
}

/** What a hub hands to others, and what it does for them. */
export abstract class TaskHub<Own extends object = object> extends MessagingHub<Own> {
  #lastSelected: string | undefined;

  /**
   * Stores a task and tells the agent it is for, or those who may claim it. The same task again changes nothing. Resolves to the task as
   * stored.
   */
  async assignTask(task: TaskAssignment): Promise<FederationTask> {
    const checked = checkTask(task);
    const attributes = { "task.id": task.task_id };
    return await this.options.tracing.span(
      { name: "assign task", kind: "producer", parent: task.traceparent, attributes },
      (traceparent) => this.#task("assign_task", { task: traced(checked, traceparent) }),
    );
  }

  /** All of them, or none. Resolves to the tasks as stored, in their order. */
  async assignTasks(tasks: readonly TaskAssignment[]): Promise<FederationTask[]> {
    const live = this.ready();
    if (tasks.length === 0) return [];
    const attributes = { "task.count": tasks.length };
    return await this.options.tracing.span(
      { name: "assign tasks", kind: "producer", attributes },
      async (traceparent) => {
        const all = tasks.map((task) => traced(checkTask(task), task.traceparent ?? traceparent));
        return tasksOf(await live.connection.call("assign_tasks", { tasks: all }));
      },
    );
  }

  /**
   * Claims tasks that are for this agent, for one of its capabilities or for nobody in particular, and runs `handler` with each. What it
   * returns is the task's result; where it throws the task is tried again, here or elsewhere, unless it throws TaskFailure. Resolves when
   * the work has ended: when the signal aborted, or the hub was shut down.
   */
  async work(handler: TaskHandler, options: WorkOptions = {}): Promise<void> {
    const { concurrency = 1, graceMs = 10_000 } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 1000)
      throw new FederationError(
        "invalid_argument",
        `work concurrency: expected 1 to 1000, got ${concurrency}`,
      );
    if (!(graceMs >= 0))
      throw new FederationError("invalid_argument", `work graceMs: expected milliseconds, got ${graceMs}`);
    await this.ready().tasks.work(handler, options);
  }

  /** Ends a task that was assigned to this agent, and tells whoever assigned it. Resolves to the task as stored. */
  async reportTaskComplete(taskId: string, result: unknown): Promise<FederationTask> {
    const { value } = toPayload(result, "the result");
    return await this.#task("complete_task", { task_id: taskId, result: value });
  }

  /** Gives a task that was assigned to this agent back, to be tried again after a while, or ends it as failed with `retry: false`. */
  async reportTaskFailed(
    taskId: string,
    error: unknown,
    { retry = true }: { readonly retry?: boolean } = {},
  ): Promise<FederationTask> {
    const text = error instanceof Error ? error.message : String(error);
    return await this.#task("fail_task", { task_id: taskId, error: storable(text) || "failed", retry });
  }

  /** Ends a task that this agent assigned and does not want any more; whoever works on it is told by its signal. */
  async cancelTask(taskId: string, reason?: string): Promise<FederationTask> {
    return await this.#task("cancel_task", { task_id: taskId, reason: reason ?? null });
  }

  /** Lets a dead or failed task that this agent assigned be tried again, with all its attempts. */
  async requeueTask(taskId: string): Promise<FederationTask> {
    return await this.#task("requeue_task", { task_id: taskId });
  }

  /** Answers what a task asked with `task.needInput`. Any agent may, or a person through one. */
  async answerTask(taskId: string, answer: unknown): Promise<FederationTask> {
    const { value } = toPayload(answer, "the answer");
    return await this.#task("answer_task", { task_id: taskId, answer: value });
  }

  /** Undefined when the tenant has no such task. */
  async getTask(taskId: string): Promise<FederationTask | undefined> {
    const row = await this.ready().connection.call("get_task", { task_id: taskId });
    return row === null ? undefined : parseTask(row);
  }

  /** In the order of their last change. */
  async listTasks({ status, agent, after = 0, limit = 100 }: ListTasksOptions = {}): Promise<
    FederationTask[]
  > {
    const statuses = typeof status === "string" ? [status] : (status ?? null);
    const args = { statuses, agent: agent ?? null, after_seq: after, max_rows: limit };
    return tasksOf(await this.ready().connection.call("list_tasks", args));
  }

  /** Somebody else who is here and can do it, or undefined. Default: the least busy one. */
  selectAgent(options: SelectOptions = {}): AgentPresence | undefined {
    const others = (this.live?.presence.roster.agents() ?? []).filter(
      ({ agent_id }) => agent_id !== this.agentId,
    );
    const { random } = this.options;
    const selected = selectAgent(others, options, { last: this.#lastSelected, random });
    this.#lastSelected = selected?.agent_id;
    return selected;
  }

  /**
   * Runs `run` while this process alone holds the lock `name` in the tenant. Waits until it is free. `lock.signal` aborts should it be
   * lost, `lock.fence` grows with every holder.
   */
  async withLock<T>(
    name: string,
    run: (lock: HeldLock) => T | Promise<T>,
    options: LockOptions = {},
  ): Promise<T> {
    return await this.ready().tasks.locks.with(name, run, options);
  }

  /** The lock, or undefined while somebody else holds it. */
  async tryLock(name: string, options: LockOptions = {}): Promise<HeldLock | undefined> {
    return await this.ready().tasks.locks.try(name, options);
  }

  /** Who holds a lock; undefined when nobody does. */
  async getLock(name: string): Promise<LockHolder | undefined> {
    return await this.ready().tasks.locks.holder(name);
  }

  async #task(name: string, args: Readonly<Record<string, unknown>>): Promise<FederationTask> {
    return parseTask(await this.ready().connection.call(name, args));
  }
}

function traced(task: Record<string, unknown>, traceparent: string | undefined): Record<string, unknown> {
  return traceparent === undefined ? task : { ...task, traceparent };
}

function tasksOf(rows: unknown): FederationTask[] {
  return Array.isArray(rows) ? rows.map(parseTask) : [];
}
