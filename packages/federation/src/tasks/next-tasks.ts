import { errorFromRest } from "../connection/rest-error.ts";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import type { TaskOutcome } from "./task-run.ts";
import { parseTask, type FederationTask } from "./task.ts";

type Call = (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;

export interface NextTasksQuestion {
  /** The same again is answered with the same tasks, so that an answer may be lost. */
  readonly claim_id: string;
  /** 0: claims nothing. */
  readonly max_tasks: number;
  readonly capabilities: readonly string[];
  readonly instance_id: string;
  readonly ended: readonly TaskOutcome[];
}

export interface NextTasks {
  readonly tasks: readonly FederationTask[];
  /** By task id: why an end was refused. */
  readonly refused: ReadonlyMap<string, FederationError>;
}

/** Says what has ended and claims what comes next. */
export async function nextTasks(call: Call, question: NextTasksQuestion): Promise<NextTasks> {
  const answer = await call("next_tasks", { ...question });
  if (!isRecord(answer) || !Array.isArray(answer["tasks"]) || !Array.isArray(answer["refused"]))
    throw new FederationError("protocol", "next_tasks: the answer is not { tasks, refused }");
  const refused = answer["refused"].flatMap((row: unknown) => {
    const id = isRecord(row) ? stringField(row, "task_id") : undefined;
    if (!isRecord(row) || id === undefined) return [];
    const [code, message] = [stringField(row, "code") ?? "", stringField(row, "message") ?? ""];
    return [[id, errorFromRest("next_tasks", { status: 400, code, message })] as const];
  });
  return { tasks: answer["tasks"].map(parseTask), refused: new Map(refused) };
}

/** Says how one task has ended, alone. */
export async function endTask(call: Call, outcome: TaskOutcome): Promise<void> {
  await call("result" in outcome ? "complete_task" : "fail_task", { ...outcome });
}
