import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import type { TaskHandler } from "./task-run.ts";
import { TaskWorker } from "./task-worker.ts";

interface Call {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: Error) => void;
}

/** A worker whose calls the test answers one by one. */
function open(handler: TaskHandler, concurrency = 2) {
  const clock = new TestClock();
  const calls: Call[] = [];
  const errors: string[] = [];
  const worker = new TaskWorker({
    agentId: "me",
    instanceId: "i",
    concurrency,
    capabilities: ["review"],
    graceMs: 1_000,
    handler,
    clock,
    random: () => 0.5,
    call: (name, args) => new Promise((answer, fail) => calls.push({ name, args, answer, fail })),
    agents: () => 1,
    onError: (error, during) => void errors.push(`${during}: ${error.message}`),
  });
  const next = async (name: string): Promise<Call> => {
    await clock.advance(0);
    const call = calls.shift();
    expect(call?.name).toBe(name);
    return call as Call;
  };
  /** No call waits for its answer. */
  const isQuiet = async (): Promise<void> => {
    await clock.advance(0);
    expect(calls.map(({ name }) => name)).toEqual([]);
  };
  /** Nothing is left of it. */
  const isOver = async (): Promise<void> => {
    await worker.ended;
    await isQuiet();
    expect([clock.pending, errors]).toEqual([0, []]);
  };
  return { clock, errors, worker, next, isQuiet, isOver };
}

const row = (task_id: string, fence = 1) => ({
  task_id,
  fence,
  attempt: 1,
  status: "in_progress",
  description: "d",
  assigned_by: "boss",
});
const answerOf = (...tasks: readonly ReturnType<typeof row>[]) => ({ tasks, refused: [] });
const lost = new FederationError("timeout", "no answer");

test("what ended in the same moment is told in the call that claims the next", async () => {
  const { worker, next, isOver } = open(({ task_id }) => `result of ${task_id}`);
  const first = await next("next_tasks");
  expect(first.args).toMatchObject({
    max_tasks: 2,
    capabilities: ["review"],
    instance_id: "i",
    ended: [],
  });
  first.answer(answerOf(row("a"), row("b", 3)));
  const second = await next("next_tasks");
  expect(second.args).toMatchObject({
    max_tasks: 2,
    ended: [
      { task_id: "a", fence: 1, result: "result of a" },
      { task_id: "b", fence: 3, result: "result of b" },
    ],
  });
  expect(second.args["claim_id"]).not.toBe(first.args["claim_id"]);
  second.answer(answerOf());
  worker.stop();
  await isOver();
});

test("a claim whose answer was lost is made again as the same claim, and its tasks run", async () => {
  const { clock, worker, next, isQuiet, isOver } = open(() => null);
  const first = await next("next_tasks");
  first.fail(lost);
  await isQuiet();
  await clock.advance(500);
  const again = await next("next_tasks");
  expect(again.args["claim_id"]).toBe(first.args["claim_id"]);
  again.answer(answerOf(row("a")));
  const told = await next("next_tasks");
  expect(told.args).toMatchObject({ ended: [{ task_id: "a" }] });
  told.answer(answerOf());
  worker.stop();
  await isOver();
});
