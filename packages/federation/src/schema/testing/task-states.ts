import type { Database } from "../../../../local-supabase/src/database/database.ts";
import { call, callRows, type Argument, type Caller } from "../../../../../test-support/sql-roles.ts";

export const states = [
  "pending",
  "assigned",
  "in_progress",
  "input_required",
  "completed",
  "failed",
  "cancelled",
  "dead",
] as const;
export type State = (typeof states)[number];

export interface TaskTeam {
  readonly tenant: string;
  readonly database: Database;
  /** Assigns. */
  readonly boss: Caller;
  /** Works. */
  readonly ann: Caller;
  /** Does neither. */
  readonly stranger: Caller;
}

/** A task that has come into a state. */
export interface Built {
  readonly taskId: string;
  readonly assignment: Readonly<Record<string, unknown>>;
  /** Of ann's claim; 0 where she has made none. */
  readonly fence: number;
  /** As it was then. */
  readonly before: Readonly<Record<string, unknown>>;
}

export interface SetUp {
  /** Ann held it before, by the fence 1, and gave it back. */
  readonly wasHeld?: boolean;
  readonly maxAttempts?: number;
  /** It waits for a task that has not ended. */
  readonly waits?: "fail" | "release";
}

type Answer = Promise<unknown>;

let count = 0;

/** Brings a new task into `state` by the calls that lead there; ann is its worker. */
export async function buildTask(
  { database, boss, ann }: TaskTeam,
  state: State,
  { assignedTo, wasHeld = false, maxAttempts = 3, waits }: SetUp & { readonly assignedTo: string | null },
): Promise<Built> {
  const taskId = `task-${++count}`;
  const capability = `only-${taskId}`;
  const needed = `${taskId}-needed`;
  if (waits !== undefined) {
    const task = { task_id: needed, assigned_to: "ann", description: "first" };
    await call(database, boss, "assign_task", { task });
  }
  const assignment = {
    task_id: taskId,
    description: "d",
    ...(assignedTo === null ? { assigned_to: null, capability } : { assigned_to: assignedTo }),
    max_attempts: maxAttempts,
    ...(waits === undefined ? {} : { dependencies: [needed], on_dependency_failure: waits }),
  };
  await call(database, boss, "assign_task", { task: assignment });
  const claim = async (): Promise<number> => {
    const claimed = await callRows<{ task_id: string; fence: number }>(database, ann, "claim_tasks", {
      max_tasks: 1000,
      capabilities: [capability],
    });
    const mine = claimed.find(({ task_id }) => task_id === taskId);
    if (mine === undefined) throw new Error(`${taskId} was not to be had`);
    return mine.fence;
  };
  const say = (name: string, args: Readonly<Record<string, Argument>>): Answer =>
    call(database, ann, name, { task_id: taskId, ...args });
  if (wasHeld) await say("release_task", { fence: await claim() });
  let fence = 0;
  if (state !== "pending" && state !== "assigned") fence = await claim();
  if (state === "input_required") await say("request_input", { fence, question: "which?" });
  if (state === "completed") await say("complete_task", { fence, result: 1 });
  if (state === "failed") await say("fail_task", { fence, error: "no", retry: false });
  if (state === "cancelled") await call(database, boss, "cancel_task", { task_id: taskId });
  if (state === "dead") {
    await database.query("update public.agent_tasks set attempt = max_attempts where task_id = $1", [taskId]);
    await say("fail_task", { fence, error: "no" });
  }
  const before = await call<Record<string, unknown>>(database, boss, "get_task", { task_id: taskId });
  return { taskId, assignment, fence, before };
}

export interface TaskEvent {
  readonly setUp?: SetUp;
  readonly happen: (team: TaskTeam, built: Built) => Answer;
}

type Who = "boss" | "ann" | "stranger";

function said(who: Who, name: string, args: Readonly<Record<string, Argument>>): TaskEvent["happen"] {
  return ({ database, [who]: caller }, { taskId }) =>
    call(database, caller, name, { task_id: taskId, ...args });
}

/** By its worker, with the fence of its claim. */
function byWorker(name: string, args: Readonly<Record<string, Argument>>): TaskEvent["happen"] {
  return ({ database, ann }, { taskId, fence }) =>
    call(database, ann, name, { task_id: taskId, fence, ...args });
}

function renewing(who: Who, fence?: number): TaskEvent["happen"] {
  return ({ database, [who]: caller }, built) =>
    callRows(database, caller, "renew_tasks", {
      leases: [{ task_id: built.taskId, fence: fence ?? built.fence }],
    });
}

const leaseEnds: TaskEvent["happen"] = async ({ database, boss }, { taskId }) => {
  const past = "now() - interval '1 second'";
  await database.query(
    `update public.agent_task_queue q set lease_until = ${past} from public.agent_tasks t
    where t.task_id = $1 and q.task_row = t.row_id and q.lease_until is not null`,
    [taskId],
  );
  await call(database, boss, "sweep");
};

/** Silently: it is time that has passed, and nobody has changed anything. */
const deadlinePasses: TaskEvent["happen"] = async ({ database, boss }, { taskId }) => {
  await database.query(
    `update public.agent_tasks set deadline = now() - interval '1 second' where task_id = $1 and ended_at is null`,
    [taskId],
  );
  await call(database, boss, "sweep");
};

const neededFails: TaskEvent["happen"] = ({ database, ann }, { taskId }) =>
  call(database, ann, "fail_task", { task_id: `${taskId}-needed`, error: "no", retry: false });

const progress = { progress: 0.5 };
const question = { question: "which?" };
const result = { result: 1 };
const error = { error: "no" };
const earlier = { wasHeld: true };

/** By the names that the table has for them. */
export const events: Readonly<Record<string, TaskEvent>> = {
  "assign_task, the same again": {
    happen: ({ database, boss }, { assignment }) => call(database, boss, "assign_task", { task: assignment }),
  },
  "assign_task, other content": {
    happen: ({ database, boss }, { assignment }) =>
      call(database, boss, "assign_task", { task: { ...assignment, description: "other" } }),
  },
  claim_tasks: {
    happen: ({ database, ann }, { taskId }) =>
      callRows(database, ann, "claim_tasks", { max_tasks: 1000, capabilities: [`only-${taskId}`] }),
  },
  "renew_tasks by its worker": { happen: renewing("ann") },
  "report_progress by its worker": { happen: byWorker("report_progress", progress) },
  "request_input by its worker": { happen: byWorker("request_input", { question: "and which?" }) },
  "answer_task by anybody": { happen: said("stranger", "answer_task", { answer: 1 }) },
  "complete_task by its worker": { happen: byWorker("complete_task", result) },
  "complete_task by its worker, without a fence": { happen: said("ann", "complete_task", result) },
  "fail_task by its worker": { happen: byWorker("fail_task", error) },
  "fail_task by its worker, the last attempt": {
    setUp: { maxAttempts: 1 },
    happen: byWorker("fail_task", error),
  },
  "fail_task by its worker, retry false": { happen: byWorker("fail_task", { ...error, retry: false }) },
  "release_task by its worker": { happen: byWorker("release_task", {}) },
  "cancel_task by who assigned it": { happen: said("boss", "cancel_task", {}) },
  "requeue_task by who assigned it": { happen: said("boss", "requeue_task", {}) },
  "its lease runs out": { happen: leaseEnds },
  "its lease runs out, the last attempt": { setUp: { maxAttempts: 1 }, happen: leaseEnds },
  "its deadline passes": { happen: deadlinePasses },
  "what it waits for ends badly": { setUp: { waits: "fail" }, happen: neededFails },
  "what it waits for ends badly, release": { setUp: { waits: "release" }, happen: neededFails },
  "complete_task with the fence of an earlier claim": {
    setUp: earlier,
    happen: said("ann", "complete_task", { fence: 1, ...result }),
  },
  "fail_task with the fence of an earlier claim": {
    setUp: earlier,
    happen: said("ann", "fail_task", { fence: 1, ...error }),
  },
  "report_progress with the fence of an earlier claim": {
    setUp: earlier,
    happen: said("ann", "report_progress", { fence: 1, ...progress }),
  },
  "request_input with the fence of an earlier claim": {
    setUp: earlier,
    happen: said("ann", "request_input", { fence: 1, ...question }),
  },
  "release_task with the fence of an earlier claim": {
    setUp: earlier,
    happen: said("ann", "release_task", { fence: 1 }),
  },
  "renew_tasks with the fence of an earlier claim": { setUp: earlier, happen: renewing("ann", 1) },
  "complete_task by a stranger": { happen: said("stranger", "complete_task", result) },
  "fail_task by a stranger": { happen: said("stranger", "fail_task", error) },
  "report_progress by a stranger": { happen: said("stranger", "report_progress", { fence: 0, ...progress }) },
  "request_input by a stranger": { happen: said("stranger", "request_input", { fence: 0, ...question }) },
  "release_task by a stranger": { happen: said("stranger", "release_task", { fence: 0 }) },
  "renew_tasks by a stranger": { happen: renewing("stranger") },
  "cancel_task by another than who assigned it": { happen: said("ann", "cancel_task", {}) },
  "requeue_task by another than who assigned it": { happen: said("ann", "requeue_task", {}) },
};
