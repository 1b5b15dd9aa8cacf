import { FederationError, isFederationError, toError } from "../runtime/errors.ts";
import { isRecord } from "../runtime/json.ts";
import { toPayload } from "../messaging/message.ts";
import { ClaimedTask, TaskFailure } from "./claimed-task.ts";
import type { FederationTask } from "./task.ts";

export type TaskHandler = (task: ClaimedTask) => unknown;

export interface TaskRunParts {
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  readonly handler: TaskHandler;
  /** What the handler threw, and what could not be told. */
  readonly onError: (error: Error) => void;
}

/** One claim of one task, from the claim to its end in the database. */
export class TaskRun {
  readonly taskId: string;
  readonly fence: number;
  /** Resolves when nothing of it runs any more. Never rejects. */
  readonly ended: Promise<void>;
  readonly #parts: TaskRunParts;
  readonly #control = new AbortController();
  #answered: (answer: unknown) => void = () => {};
  #isAsking = false;
  #mustGiveBack = false;

  constructor(row: FederationTask, parts: TaskRunParts) {
    this.taskId = row.task_id;
    this.fence = Number(row["fence"]);
    this.#parts = parts;
    this.ended = this.#run(row);
  }

  /** Whether it waits for an answer. */
  get isAsking(): boolean {
    return this.#isAsking;
  }

  get isLost(): boolean {
    return this.#control.signal.aborted;
  }

  /** Somebody else may have the task: what the handler brings is brought late. */
  lose(reason: string): void {
    this.#control.abort(new FederationError("invalid_state", `task ${this.taskId}: ${reason}`));
  }

  /** Ends the handler as far as it listens to its signal, and lets others have the task. */
  async giveBack(): Promise<void> {
    if (this.isLost) return;
    this.#mustGiveBack = true;
    this.lose("the worker has to end and gives it back");
    await this.#tell("release_task", {});
  }

  /** Something about the task has changed: perhaps the answer is there. */
  async look(): Promise<void> {
    if (!this.#isAsking) return;
    const task = await this.#parts.call("get_task", { task_id: this.taskId });
    if (isRecord(task) && task["status"] === "in_progress" && task["answer"] !== null)
      this.#answered(task["answer"]);
  }

  async #run(row: FederationTask): Promise<void> {
    const task = new ClaimedTask(row, this.#control.signal, {
      report: async (args) => void (await this.#call("report_progress", args)),
      ask: (question) => this.#ask(question),
    });
    try {
      const result = toPayload(await this.#parts.handler(task)).value;
      if (!this.#mustGiveBack) await this.#tell("complete_task", { result });
    } catch (thrown) {
      const error = toError(thrown);
      if (this.#mustGiveBack) return;
      if (this.isLost && error === this.#control.signal.reason) return; // nobody waits for it, and it did as it was told
      this.#parts.onError(error);
      const text = error.message === "" ? error.name : error.message;
      await this.#tell("fail_task", { error: text, retry: !(error instanceof TaskFailure) });
    }
  }

  async #ask(question: string): Promise<unknown> {
    const asked = await this.#call("request_input", { question });
    if (isRecord(asked) && asked["status"] === "in_progress") return asked["answer"];
    this.#isAsking = true;
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.#answered = resolve;
        const onLost = (): void => reject(toError(this.#control.signal.reason));
        if (this.isLost) onLost();
        else this.#control.signal.addEventListener("abort", onLost, { once: true });
      });
    } finally {
      this.#isAsking = false;
    }
  }

  async #call(name: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (this.isLost) throw toError(this.#control.signal.reason);
    return await this.#parts.call(name, { task_id: this.taskId, fence: this.fence, ...args });
  }

  /** The last words of a run. That the task had moved on is no failure: the database has kept what there was to keep. */
  async #tell(name: string, args: Readonly<Record<string, unknown>>): Promise<void> {
    try {
      await this.#parts.call(name, { task_id: this.taskId, fence: this.fence, ...args });
    } catch (error) {
      if (!isFederationError(error, "invalid_state")) this.#parts.onError(toError(error));
    }
  }
}
