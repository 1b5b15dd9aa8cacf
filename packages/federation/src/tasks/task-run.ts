import { FederationError, isFederationError, toError } from "../runtime/errors.ts";
import { isRecord, storable } from "../runtime/json.ts";
import { toPayload } from "../messaging/message.ts";
import { ClaimedTask, TaskFailure } from "./claimed-task.ts";
import type { FederationTask } from "./task.ts";

export type TaskHandler = (task: ClaimedTask) => unknown;

/** How a claimed task ended, as next_tasks takes it. */
export type TaskOutcome = { readonly task_id: string; readonly fence: number } & (
  | { readonly result: unknown }
  | { readonly error: string; readonly retry: boolean }
);

export interface TaskRunParts {
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  readonly handler: TaskHandler;
  /** Says how it ended. Resolves when the database knows, or cannot be told. Never rejects. */
  readonly tell: (outcome: TaskOutcome) => Promise<void>;
  /** What the handler threw, and what could not be told. */
  readonly onError: (error: Error) => void;
}

/*  waiting ──begin──▶ handling ──handler ended──▶ telling ──told──▶ over      waiting, handling ──given back, lost──▶ over */
/** One claim of one task, from the claim to its end in the database. */
export class TaskRun {
  readonly taskId: string;
  readonly fence: number;
  /** Resolves when nothing of it runs any more. Never rejects. */
  readonly ended: Promise<void>;
  readonly #row: FederationTask;
  readonly #parts: TaskRunParts;
  readonly #control = new AbortController();
  #answered: (answer: unknown) => void = () => {};
  #end: () => void = () => {};
  #state: "waiting" | "handling" | "telling" | "over" = "waiting";
  #isAsking = false;
  #mustGiveBack = false;

  constructor(row: FederationTask, parts: TaskRunParts) {
    this.taskId = row.task_id;
    this.fence = Number(row["fence"]);
    this.#row = row;
    this.#parts = parts;
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** Whether it waits for an answer. */
  get isAsking(): boolean {
    return this.#isAsking;
  }

  /** Whether its handler has not begun. */
  get isWaiting(): boolean {
    return this.#state === "waiting";
  }

  /** Whether its handler runs. */
  get isHandling(): boolean {
    return this.#state === "handling";
  }

  get isLost(): boolean {
    return this.#control.signal.aborted;
  }

  begin(): void {
    if (this.#state !== "waiting") return;
    this.#state = "handling";
    void this.#run();
  }

  /** Somebody else may have the task: what the handler brings is brought late. */
  lose(reason: string): void {
    this.#control.abort(new FederationError("invalid_state", `task ${this.taskId}: ${reason}`));
    if (this.#state === "waiting") this.#isOver();
  }

  /** Ends the handler as far as it listens to its signal, and lets others have the task. */
  async giveBack(): Promise<void> {
    if (this.isLost) return;
    if (this.#state === "telling") return await this.ended;
    const hasBegun = this.#state === "handling";
    if (!hasBegun) this.#state = "telling";
    this.#mustGiveBack = true;
    this.lose("the worker gives it back");
    const { call, onError } = this.#parts;
    try {
      await call("release_task", { task_id: this.taskId, fence: this.fence });
    } catch (error) {
      // That the task had moved on is no failure.
      if (!isFederationError(error, "invalid_state")) onError(toError(error));
    }
    if (!hasBegun) this.#isOver();
  }

  /** Something about the task has changed: perhaps the answer is there. */
  async look(): Promise<void> {
    if (!this.#isAsking) return;
    const task = await this.#parts.call("get_task", { task_id: this.taskId });
    if (isRecord(task) && task["status"] === "in_progress" && task["answer"] !== null)
      this.#answered(task["answer"]);
  }

  #isOver(): void {
    this.#state = "over";
    this.#end();
  }

  async #run(): Promise<void> {
    const task = new ClaimedTask(this.#row, this.#control.signal, {
      report: async (args) => void (await this.#call("report_progress", args)),
      ask: (question) => this.#ask(question),
    });
    const outcome = await this.#handle(task);
    this.#state = "telling";
    if (outcome !== undefined && !this.#mustGiveBack) await this.#parts.tell(outcome);
    this.#isOver();
  }

  /** Undefined where there is nothing to tell. */
  async #handle(task: ClaimedTask): Promise<TaskOutcome | undefined> {
    const claim = { task_id: this.taskId, fence: this.fence };
    try {
      return { ...claim, result: toPayload(await this.#parts.handler(task), "the result").value };
    } catch (thrown) {
      const error = toError(thrown);
      if (this.#mustGiveBack) return undefined;
      if (this.isLost && error === this.#control.signal.reason) return undefined; // nobody waits for it, and it did as it was told
      this.#parts.onError(error);
      return {
        ...claim,
        error: storable(error.message) || error.name,
        retry: !(error instanceof TaskFailure),
      };
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
}
