import { FederationError } from "../runtime/errors.ts";
import { describe } from "../runtime/json.ts";
import { TaskFailure, type ClaimedTask } from "./claimed-task.ts";
import type { TaskHandler } from "./task-run.ts";
import type { TaskAssignment, TaskFacts } from "./task.ts";

/** What Zod, Valibot, ArkType and others offer under this name (standardschema.dev, version 1). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string;
        readonly path?: readonly unknown[] | undefined;
      }[];
    };

/** An assignment without what its kind adds. */
export interface KindAssignment<Input> extends TaskFacts {
  readonly assigned_to?: string | null | undefined;
  readonly capability?: string | undefined;
  readonly input: Input;
}

/** Tasks of one kind, whose input and result are checked where they are made. */
export interface TaskKind<Sent, Received, Result, Stored> {
  readonly name: string;
  /** For `hub.assignTask`: rejects with FederationError "invalid_argument" when the input is not as the schema wants it. */
  readonly assignment: (task: KindAssignment<Sent>) => Promise<TaskAssignment>;
  /** For `hub.work`: the input is checked again, and a result that is not as the schema wants it fails the task for good. */
  readonly handler: (run: (input: Received, task: ClaimedTask) => Result | Promise<Result>) => TaskHandler;
  /** The result of a completed task, checked: of `task_complete` or `hub.getTask`. */
  readonly result: (value: unknown) => Promise<Stored>;
}

export function defineTask<Sent, Received, Result, Stored>(
  name: string,
  {
    input,
    output,
  }: { readonly input: StandardSchema<Sent, Received>; readonly output: StandardSchema<Result, Stored> },
): TaskKind<Sent, Received, Result, Stored> {
  return {
    name,
    async assignment({ input: given, ...task }) {
      await check(input, given, `task ${name}: input`);
      // Who it is for is checked by assignTask.
      return { ...task, kind: name, input: given } as unknown as TaskAssignment;
    },
    handler: (run) => async (task) => {
      if (task.row["kind"] !== name)
        throw new TaskFailure(`expected a task of the kind ${name}, got ${describe(task.row["kind"])}`);
      const received = await check(input, task.row["input"], `task ${name}: input`).catch(asFailure);
      const result = await run(received, task);
      await check(output, result, `task ${name}: result`).catch(asFailure);
      return result;
    },
    result: (value) => check(output, value, `task ${name}: result`),
  };
}

async function check<Output>(
  schema: StandardSchema<never, Output> | StandardSchema<unknown, Output>,
  value: unknown,
  what: string,
): Promise<Output> {
  const checked = await schema["~standard"].validate(value);
  if (checked.issues === undefined) return checked.value;
  const issues = checked.issues.map(({ message, path = [] }) => {
    const at = path.map((part) =>
      typeof part === "object" && part !== null && "key" in part ? part.key : part,
    );
    return at.length === 0 ? message : `${at.join(".")}: ${message}`;
  });
  throw new FederationError("invalid_argument", `${what}: ${issues.join("; ")}`);
}

/** Trying again would not help. */
function asFailure(error: unknown): never {
  throw new TaskFailure(error instanceof Error ? error.message : String(error), { cause: error });
}
