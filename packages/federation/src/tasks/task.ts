import { requireId } from "../config/ids.ts";
import { FederationError } from "../runtime/errors.ts";
import { describe, isRecord, toJson } from "../runtime/json.ts";

export type TaskPriority = "critical" | "high" | "medium" | "low";

/** What a task says, whoever it is for. Extra fields travel along. */
export interface TaskFacts {
  /** Unique in its tenant. Assigning the same task again is the same task; another one under this id is refused. */
  readonly task_id: string;
  readonly description: string;
  /** Default: medium. */
  readonly priority?: TaskPriority;
  /** ISO 8601. */
  readonly deadline?: string;
  /** Tasks that must be completed before. */
  readonly dependencies?: readonly string[];
  /** What becomes of it when one of these does not end well. Default: it fails as well. */
  readonly on_dependency_failure?: "fail" | "release";
  /** How often it is tried before it is dead. Default 3. */
  readonly max_attempts?: number;
  /** A W3C trace context, for who works on it. */
  readonly traceparent?: string;
  readonly [extra: string]: unknown;
}

/** A task as an agent gets it. */
export interface AssignedTask extends TaskFacts {
  readonly assigned_to: string;
}

/** A task as it is given to an agent, to whoever has a capability, or with `assigned_to: null` to whoever is free: see `hub.work`. */
export type TaskAssignment =
  | AssignedTask
  | (TaskFacts & { readonly assigned_to?: string | null; readonly capability: string })
  | (TaskFacts & { readonly assigned_to: null });

export type TaskStatus =
  | "pending"
  | "assigned"
  | "in_progress"
  | "input_required"
  | "completed"
  | "failed"
  | "cancelled"
  | "dead";

/** A task as the database keeps it. The extra fields of the assignment lie beside these. */
export interface FederationTask {
  readonly task_id: string;
  readonly tenant_id: string;
  readonly assigned_by: string;
  readonly assigned_to: string | null;
  readonly description: string;
  readonly priority: TaskPriority;
  readonly status: TaskStatus;
  readonly result: unknown;
  readonly created_at: string;
  readonly [field: string]: unknown;
}

const priorities: readonly unknown[] = ["critical", "high", "medium", "low"];

/** The task as it will arrive, or FederationError "invalid_argument" that says what was expected and found. */
export function checkTask(task: unknown): Record<string, unknown> {
  if (!isRecord(task))
    throw new FederationError(
      "invalid_argument",
      `assignTask: expected a task object, got ${describe(task)}`,
    );
  requireText(task["task_id"], "task_id");
  requireText(task["description"], "description");
  const { assigned_to: assignedTo, capability } = task;
  if (capability !== undefined) requireText(capability, "capability");
  // A forgotten recipient is not "whoever is free": that is said with null, or with a capability.
  if (assignedTo === "" || (assignedTo === undefined && capability === undefined)) {
    throw new FederationError(
      "invalid_argument",
      `assignTask ${describe(task["task_id"])}: assigned_to names nobody`,
      {
        remedy: "Name the agent that shall do it, give a capability, or null for whoever is free",
      },
    );
  }
  if (assignedTo !== undefined && assignedTo !== null) requireId(assignedTo, "assignTask assigned_to");
  const { priority, deadline, dependencies } = task;
  if (priority !== undefined && !priorities.includes(priority)) {
    throw new FederationError(
      "invalid_argument",
      `assignTask priority: expected critical, high, medium or low, got ${describe(priority)}`,
    );
  }
  if (deadline !== undefined && (typeof deadline !== "string" || Number.isNaN(Date.parse(deadline)))) {
    throw new FederationError(
      "invalid_argument",
      `assignTask deadline: expected an ISO 8601 time, got ${describe(deadline)}`,
    );
  }
  if (
    dependencies !== undefined &&
    !(Array.isArray(dependencies) && dependencies.every((id) => typeof id === "string"))
  ) {
    throw new FederationError("invalid_argument", "assignTask dependencies: expected an array of task ids");
  }
  return toJson(task, "the task").value as Record<string, unknown>; // JSON of an object is an object
}

/** Reads a task row; throws FederationError "protocol" on what is not one. */
export function parseTask(row: unknown): FederationTask {
  if (isRecord(row) && typeof row["task_id"] === "string" && typeof row["status"] === "string") {
    return row as unknown as FederationTask; // the columns of agent_tasks, all of them not null where the type says so
  }
  throw new FederationError("protocol", `task: expected a row of agent_tasks, got ${describe(row)}`);
}

function requireText(value: unknown, name: string): void {
  if (typeof value === "string" && value !== "") return;
  throw new FederationError(
    "invalid_argument",
    `assignTask ${name}: expected a text, got ${describe(value)}`,
  );
}
