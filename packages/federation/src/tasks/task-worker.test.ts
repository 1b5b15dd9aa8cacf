import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import type { TaskHandler } from "./task-run.ts";
import { TaskFailure } from "./claimed-task.ts";
import { TaskWorker } from "./task-worker.ts";
import { wakeDelayMs } from "./wake-up.ts";

interface Call {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: Error) => void;
}

/** A worker whose calls the test answers one by one. */
function open(handler: TaskHandler, concurrency = 2, agents = 1) {
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
    agents: () => agents,
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

/** Handlers that run until the test ends them. */
function heldHandlers() {
  const ends = new Map<string, (result: unknown) => void>();
  const signals = new Map<string, AbortSignal>();
  const handler: TaskHandler = ({ task_id, signal }) =>
    new Promise((resolve) => {
      ends.set(task_id, resolve);
      signals.set(task_id, signal);
    });
  return { handler, signals, end: (task_id: string, result: unknown = null) => ends.get(task_id)?.(result) };
}

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
    max_tasks: 3, // one ahead: there was all it asked for, and it took no time
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

test("an end that was refused is said, but not that the task had moved on; nothing else is held up", async () => {
  const { errors, worker, next } = open(({ task_id }) => task_id);
  (await next("next_tasks")).answer(answerOf(row("a"), row("b")));
  (await next("next_tasks")).answer({
    tasks: [],
    refused: [
      { task_id: "a", code: "55000", message: "it is held by another" },
      { task_id: "b", code: "22023", message: "it is too large" },
    ],
  });
  worker.stop();
  await worker.ended;
  expect(errors).toEqual(["task b: next_tasks: it is too large (400 22023)"]);
});

test("where one result makes the whole call fail, each end is said alone", async () => {
  const { errors, worker, next } = open(({ task_id }) => {
    if (task_id === "b") throw new TaskFailure("no");
    return task_id;
  });
  (await next("next_tasks")).answer(answerOf(row("a"), row("b")));
  (await next("next_tasks")).fail(new FederationError("invalid_argument", "not JSON"));
  const [fail, complete] = [await next("fail_task"), await next("complete_task")];
  expect(complete.args).toEqual({ task_id: "a", fence: 1, result: "a" });
  expect(fail.args).toEqual({ task_id: "b", fence: 1, error: "no", retry: false });
  complete.fail(new FederationError("invalid_argument", "not JSON"));
  fail.answer({});
  (await next("next_tasks")).answer(answerOf());
  worker.stop();
  await worker.ended;
  expect(errors).toEqual(["task b: no", "task a: not JSON"]);
});

test("quick tasks are claimed ahead, one after the other, and what does not begin soon is given back", async () => {
  const { handler, end } = heldHandlers();
  const begun: string[] = [];
  const { clock, worker, next, isQuiet, isOver } = open((task) => {
    begun.push(task.task_id);
    return task.task_id.startsWith("slow") ? handler(task) : null;
  }, 1);
  (await next("next_tasks")).answer(answerOf(row("a")));
  const second = await next("next_tasks");
  expect(second.args["max_tasks"]).toBe(2);
  second.answer(answerOf(row("b"), row("c")));
  const third = await next("next_tasks");
  expect(third.args).toMatchObject({ max_tasks: 3, ended: [{ task_id: "b" }, { task_id: "c" }] });
  third.answer(answerOf(row("d"), row("slow"), row("e", 7)));
  const fourth = await next("next_tasks");
  expect(fourth.args).toMatchObject({ max_tasks: 0, ended: [{ task_id: "d" }] }); // its hand is busy
  fourth.answer(answerOf());
  await clock.advance(99);
  await isQuiet();
  await clock.advance(1);
  const released = await next("release_task");
  expect(released.args).toEqual({ task_id: "e", fence: 7 });
  released.answer({});
  end("slow");
  const last = await next("next_tasks");
  expect(last.args).toMatchObject({ max_tasks: 1, ended: [{ task_id: "slow" }] }); // none ahead any more
  last.answer(answerOf());
  expect(begun).toEqual(["a", "b", "c", "d", "slow"]);
  worker.stop();
  await isOver();
});

test("a worker that stops finishes what runs and gives back what has not begun, also what it had just claimed", async () => {
  const { handler, end } = heldHandlers();
  const { worker, next, isQuiet, isOver } = open(handler);
  const claim = await next("next_tasks");
  worker.stop();
  claim.answer(answerOf(row("a"), row("b"), row("c")));
  (await next("release_task")).answer({});
  await isQuiet();
  end("a");
  end("b");
  const last = await next("next_tasks");
  expect(last.args).toMatchObject({ max_tasks: 0, ended: [{ task_id: "a" }, { task_id: "b" }] });
  last.answer(answerOf());
  await isOver();
});

test("after the grace time what runs is given back, and a handler that does not listen is not waited for", async () => {
  const { handler, signals } = heldHandlers();
  const { clock, worker, next, isQuiet, isOver } = open(handler);
  (await next("next_tasks")).answer(answerOf(row("a")));
  await isQuiet();
  worker.stop();
  await clock.advance(999);
  await isQuiet();
  expect(signals.get("a")?.aborted).toBe(false);
  await clock.advance(1);
  (await next("release_task")).answer({});
  expect(signals.get("a")?.aborted).toBe(true);
  await isOver();
});

test("leases are renewed every 6 seconds, and twice a second while others may think it gone; one that is not held any more is lost", async () => {
  const { handler, signals, end } = heldHandlers();
  const { clock, worker, next, isQuiet, isOver } = open(handler);
  (await next("next_tasks")).answer(answerOf(row("a"), row("b", 4)));
  await clock.advance(5_999);
  await isQuiet();
  await clock.advance(1);
  const renewed = await next("renew_tasks");
  expect(renewed.args).toEqual({
    leases: [
      { task_id: "a", fence: 1 },
      { task_id: "b", fence: 4 },
    ],
  });
  renewed.answer(["a"]);
  await isQuiet();
  expect([signals.get("a")?.aborted, signals.get("b")?.aborted]).toEqual([false, true]);
  worker.hurry(true);
  (await next("renew_tasks")).answer(["a"]);
  await clock.advance(500);
  (await next("renew_tasks")).answer(["a"]);
  worker.hurry(false);
  end("a");
  end("b", "late"); // told all the same: the database keeps it beside the task
  const told = await next("next_tasks");
  expect(told.args).toMatchObject({ ended: [{ task_id: "a" }, { task_id: "b", result: "late" }] });
  told.answer(answerOf());
  worker.stop();
  await isOver();
});

test("while leases cannot be renewed a run goes on for 20 seconds since the last time, and no longer", async () => {
  const { handler, signals, end } = heldHandlers();
  const { clock, worker, next, isOver } = open(handler, 1);
  (await next("next_tasks")).answer(answerOf(row("a")));
  for (let round = 1; round <= 4; round++) {
    await clock.advance(6_000);
    expect(signals.get("a")?.aborted).toBe(false);
    (await next("renew_tasks")).fail(lost);
  }
  await clock.advance(0);
  expect(signals.get("a")?.reason).toMatchObject({ code: "invalid_state" });
  end("a");
  (await next("next_tasks")).answer(answerOf());
  worker.stop();
  await isOver();
});

test("a cancelled task aborts its signal, and one that had not begun never begins", async () => {
  const { handler, signals, end } = heldHandlers();
  const { clock, worker, next, isOver } = open(handler, 1);
  (await next("next_tasks")).answer(answerOf(row("a"), row("b")));
  await clock.advance(0);
  worker.changed("a", "cancelled");
  worker.changed("b", "cancelled");
  expect(signals.get("a")?.reason).toMatchObject({ message: "task a: it was cancelled" });
  end("a");
  (await next("next_tasks")).answer(answerOf());
  await clock.advance(100);
  expect([...signals.keys()]).toEqual(["a"]);
  worker.stop();
  await isOver();
});

test("it wakes for what it may claim, and not for what somebody else has by then", async () => {
  const { clock, worker, next, isQuiet, isOver } = open(() => null);
  (await next("next_tasks")).answer(answerOf());
  const ready = { taskId: "t", assignedTo: undefined, capability: undefined, readyInMs: 0 };
  worker.ready({ ...ready, assignedTo: "you" });
  worker.ready({ ...ready, capability: "cooking" });
  await isQuiet();
  worker.ready({ ...ready, capability: "review" });
  (await next("next_tasks")).answer(answerOf());
  worker.ready({ ...ready, assignedTo: "me", readyInMs: 300 });
  await clock.advance(299);
  await isQuiet();
  await clock.advance(1);
  (await next("next_tasks")).answer(answerOf());
  worker.ready({ ...ready, readyInMs: 300 });
  worker.changed("t", "in_progress");
  await clock.advance(300);
  await isQuiet();
  worker.stop();
  await isOver();
});

test("of many who hear of a task each waits for its turn, and does not try where that comes too late", async () => {
  const { clock, worker, next, isQuiet, isOver } = open(() => null, 1, 1_000);
  (await next("next_tasks")).answer(answerOf());
  const open_ = { assignedTo: undefined, capability: undefined, readyInMs: 0 };
  const turn = (taskId: string): number => wakeDelayMs(taskId, "i", 1_000);
  expect([turn("a"), turn("b")].filter((ms) => ms > 0)).toHaveLength(2);
  worker.ready({ ...open_, taskId: "a" });
  await clock.advance(turn("a") - 1);
  await isQuiet();
  await clock.advance(1);
  (await next("next_tasks")).answer(answerOf());
  worker.ready({ ...open_, taskId: "b" });
  worker.changed("b", "in_progress");
  await clock.advance(turn("b"));
  await isQuiet();
  worker.ready({ ...open_, taskId: "b", assignedTo: "me" }); // nobody else's
  (await next("next_tasks")).answer(answerOf());
  worker.stop();
  await isOver();
});

test("it looks now and then for what it was not told of; a claim that fails is made again, and said at the third time", async () => {
  const { clock, errors, worker, next, isQuiet } = open(() => null);
  (await next("next_tasks")).answer(answerOf());
  await clock.advance(1_999);
  await isQuiet();
  await clock.advance(1);
  for (let failure = 1; failure <= 3; failure++) {
    expect(errors).toEqual([]);
    (await next("next_tasks")).fail(lost);
    await clock.advance(5_000);
  }
  expect(errors).toEqual(["claiming tasks: no answer"]);
  worker.stop();
  (await next("next_tasks")).answer(answerOf());
  await worker.ended;
  expect(clock.pending).toBe(0);
});
