import { isRecord, numberField, stringField } from "../runtime/json.ts";

/** How a task goes on, as everybody in the tenant hears it. Results and checkpoints: `hub.getTask`. */
export interface TaskEvent {
  readonly task_id: string;
  readonly status: string;
  readonly assigned_by: string;
  readonly assigned_to: string | undefined;
  readonly capability: string | undefined;
  /** Who works on it, or did last. */
  readonly agent: string | undefined;
  /** Counts claims; 0 before the first. */
  readonly attempt: number;
  /** From 0 to 1. */
  readonly progress: number | undefined;
  readonly note: string | undefined;
  readonly question: string | undefined;
  readonly error: string | undefined;
}

export type TaskEventName =
  | "task:assigned"
  | "task:claimed"
  | "task:progress"
  | "task:input_required"
  | "task:completed"
  | "task:failed"
  | "task:cancelled"
  | "task:dead";

const nameOf: Readonly<Record<string, TaskEventName>> = {
  pending: "task:assigned",
  assigned: "task:assigned",
  in_progress: "task:claimed",
  progress: "task:progress",
  input_required: "task:input_required",
  completed: "task:completed",
  failed: "task:failed",
  cancelled: "task:cancelled",
  dead: "task:dead",
};

export interface NamedTaskEvent {
  readonly name: TaskEventName;
  readonly event: TaskEvent;
}

/** What one announcement says, in order; what is no task in it is left out. */
export function parseTaskEvents(payload: unknown): NamedTaskEvent[] {
  const tasks = isRecord(payload) ? payload["tasks"] : undefined;
  return Array.isArray(tasks) ? tasks.flatMap((task: unknown) => parseTaskEvent(task) ?? []) : [];
}

function parseTaskEvent(payload: unknown): NamedTaskEvent | undefined {
  if (!isRecord(payload)) return undefined;
  const text = (field: string): string | undefined => stringField(payload, field);
  const [task_id, status, assigned_by] = [text("task_id"), text("status"), text("assigned_by")];
  const name = nameOf[text("change") ?? status ?? ""];
  if (name === undefined || task_id === undefined || status === undefined || assigned_by === undefined)
    return undefined;
  const event = {
    task_id,
    status,
    assigned_by,
    assigned_to: text("assigned_to"),
    capability: text("capability"),
    agent: text("agent"),
    attempt: numberField(payload, "attempt") ?? 0,
    progress: numberField(payload, "progress"),
    note: text("note"),
    question: text("question"),
    error: text("error"),
  };
  return { name, event };
}

/** That a task can be claimed, now or in `readyInMs`. */
export interface ReadyTask {
  readonly taskId: string;
  /** Undefined: whoever is free, or has the capability. */
  readonly assignedTo: string | undefined;
  readonly capability: string | undefined;
  readonly readyInMs: number;
}

/** What one announcement lets be claimed: a task, or `{ tasks }`. What is no task in it is left out. */
export function parseReadyTasks(payload: unknown): ReadyTask[] {
  const tasks = isRecord(payload) ? payload["tasks"] : undefined;
  return (Array.isArray(tasks) ? tasks : [payload]).flatMap((task: unknown) => parseReadyTask(task) ?? []);
}

function parseReadyTask(payload: unknown): ReadyTask | undefined {
  const taskId = isRecord(payload) ? stringField(payload, "task_id") : undefined;
  if (!isRecord(payload) || taskId === undefined) return undefined;
  return {
    taskId,
    assignedTo: stringField(payload, "assigned_to"),
    capability: stringField(payload, "capability"),
    readyInMs: numberField(payload, "ready_in_ms") ?? 0,
  };
}
