import { FederationError } from "../runtime/errors.ts";
import { describe } from "../runtime/json.ts";
import type { FederationTask } from "./task.ts";

/** Thrown by a handler whose task no other attempt can do better: it fails at once, without being tried again. */
export class TaskFailure extends Error {
  override readonly name = "TaskFailure";
}

/** How a claimed task speaks with the database. */
export interface TaskVoice {
  readonly report: (args: { progress?: number; checkpoint?: unknown; note?: string }) => Promise<void>;
  /** Resolves to the answer. */
  readonly ask: (question: string) => Promise<unknown>;
}

/** A task that this worker holds: what is to be done, and how to say how it goes. */
export class ClaimedTask {
  readonly task_id: string;
  readonly description: string;
  readonly assigned_by: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** Everything that the assignment said, and the state of the task when it was claimed. */
  readonly row: FederationTask;
  /** What the attempt before left behind with `checkpoint()`; undefined for none. */
  readonly lastCheckpoint: unknown;
  /** Aborts when the task is not this worker's any more: the lease was lost, the task was cancelled, the worker has to end. */
  readonly signal: AbortSignal;
  readonly #voice: TaskVoice;

  constructor(row: FederationTask, signal: AbortSignal, voice: TaskVoice) {
    this.row = row;
    this.task_id = row.task_id;
    this.description = row.description;
    this.assigned_by = row.assigned_by;
    this.attempt = Number(row["attempt"]);
    this.lastCheckpoint = row["checkpoint"] ?? undefined;
    this.signal = signal;
    this.#voice = voice;
  }

  /** Given with the assignment: a trace goes on with it. */
  get traceparent(): string | undefined {
    return typeof this.row["traceparent"] === "string" ? this.row["traceparent"] : undefined;
  }

  /** Tells everybody how far it is: `share` from 0 to 1. Rejects with FederationError "invalid_state" when the task was lost. */
  async progress(share: number, note?: string): Promise<void> {
    if (!(share >= 0 && share <= 1))
      throw new FederationError(
        "invalid_argument",
        `task.progress: expected a number from 0 to 1, got ${describe(share)}`,
      );
    await this.#voice.report({ progress: share, ...(note === undefined ? {} : { note }) });
  }

  /** Kept in the database: the next attempt, should there be one, begins with it. */
  async checkpoint(state: unknown): Promise<void> {
    await this.#voice.report({ checkpoint: state });
  }

  /**
   * Asks whoever assigned the task, who is told; anybody may answer with `hub.answerTask`. Resolves to the answer, however long that takes,
   * also when an earlier attempt asked the same. Rejects when the task was lost meanwhile.
   */
  async needInput(question: string): Promise<unknown> {
    return await this.#voice.ask(question);
  }
}
