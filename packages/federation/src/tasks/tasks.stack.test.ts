import { expect, test } from "vitest";
import { next, until, useHubBench } from "../testing/hub-bench.node.ts";
import type { RealtimeFederationHub } from "../realtime-hub.ts";
import { TaskFailure, type ClaimedTask } from "./claimed-task.ts";
import { defineTask, type StandardSchema } from "./define-task.ts";
import type { TaskHandler } from "./task-run.ts";
import type { WorkOptions } from "./task-worker.ts";

const bench = useHubBench();

/** Works until the test ends. */
function work(hub: RealtimeFederationHub, handler: TaskHandler, options: WorkOptions = {}): AbortController {
  const stop = new AbortController();
  const ended = hub.work(handler, { ...options, signal: stop.signal });
  bench.defer(() => ended);
  return stop;
}

const task = (task_id: string, more: object = {}) => ({
  task_id,
  description: "do it",
  assigned_to: null,
  ...more,
});

function gate<T = void>(): { readonly opened: Promise<T>; readonly open: (value: T) => void } {
  let open: (value: T) => void = () => {};
  const opened = new Promise<T>((resolve) => (open = resolve));
  return { opened, open };
}

test("a task for an agent, for a capability and for anyone each run once, and the assigner hears how it goes", async () => {
  const boss = await bench.open("boss");
  const [ann, bob] = [await bench.open("ann", { capabilities: ["review"] }), await bench.open("bob")];
  const done: string[] = [];
  const note = (name: string) => (claimed: ClaimedTask) => {
    done.push(`${claimed.task_id} ${name}`);
    return { by: name };
  };
  work(ann, note("ann"));
  work(bob, note("bob"));
  const heard: string[] = [];
  for (const event of ["task:assigned", "task:claimed", "task:completed"] as const)
    boss.on(event, ({ task_id }) => void heard.push(`${event} ${task_id}`));
  const results: unknown[] = [];
  boss.on("message:task_complete", ({ payload }) => void results.push(payload.result));
  await boss.assignTasks([
    task("own", { assigned_to: "bob" }),
    task("able", { assigned_to: undefined, capability: "review" }),
    task("any"),
  ]);
  await until(boss, ["message:task_complete"], () => results.length === 3);
  expect(done.filter((line) => !line.startsWith("any")).toSorted()).toEqual(["able ann", "own bob"]);
  expect(done).toHaveLength(3);
  await until(boss, ["task:completed"], () => heard.length === 9);
  expect(await boss.listTasks({ status: "completed" })).toHaveLength(3);
});

test("many tasks are shared by workers, several at once, none twice", async () => {
  const boss = await bench.open("boss");
  const hubs = await Promise.all(["w1", "w2", "w3"].map((name) => bench.open(name)));
  const runs = new Map<string, number>();
  let [running, most] = [0, 0];
  const handler: TaskHandler = async ({ task_id }) => {
    runs.set(task_id, (runs.get(task_id) ?? 0) + 1);
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
  };
  for (const hub of hubs) work(hub, handler, { concurrency: 4 });
  const ids = Array.from({ length: 60 }, (_, index) => `t${index}`);
  let completed = 0;
  boss.on("task:completed", () => void completed++);
  await boss.assignTasks(ids.map((id) => task(id)));
  await until(boss, ["task:completed"], () => completed === 60);
  expect([...runs.keys()].toSorted()).toEqual(ids.toSorted());
  expect(new Set(runs.values())).toEqual(new Set([1]));
  expect(most).toBeGreaterThan(1);
});

test("a task that throws is tried again with its checkpoint; one that fails for good is not", async () => {
  const [boss, ann] = [await bench.open("boss"), await bench.open("ann")];
  const seen: unknown[] = [];
  const errors: string[] = [];
  ann.on("error", ({ error }) => void errors.push(error.message));
  work(ann, async (claimed) => {
    if (claimed.task_id === "hopeless") throw new TaskFailure("never");
    seen.push([claimed.attempt, claimed.lastCheckpoint]);
    if (claimed.attempt === 2) return "at last";
    await claimed.checkpoint({ page: 7 });
    throw new Error("not yet");
  });
  const failed = next(boss, "task:failed");
  const completed = next(boss, "message:task_complete");
  await boss.assignTasks([task("retried"), task("hopeless")]);
  expect(await failed).toMatchObject({ task_id: "hopeless", error: "never", attempt: 1 });
  expect((await completed).payload).toMatchObject({ task_id: "retried", result: "at last" });
  expect(seen).toEqual([
    [1, undefined],
    [2, { page: 7 }],
  ]);
  expect(errors.toSorted()).toEqual(["never", "not yet"]);
});

test("an agent that does not work says how its task ended; what is dead is found, and tried again when its assigner wants it", async () => {
  const [boss, ann] = [await bench.open("boss"), await bench.open("ann")];
  const assigned = next(ann, "message:task_assignment");
  await boss.assignTask(task("t", { assigned_to: "ann", max_attempts: 1 }));
  await assigned;
  const [told, heard] = [next(boss, "message:task_failed"), next(ann, "task:dead")];
  await expect(ann.reportTaskFailed("t", new Error("no paper"))).resolves.toMatchObject({ status: "dead" });
  expect((await told).payload).toMatchObject({ task_id: "t", status: "dead", error: "no paper" });
  expect(await heard).toMatchObject({ task_id: "t", error: "no paper" });
  expect(await boss.listTasks({ status: "dead" })).toMatchObject([{ task_id: "t", error: "no paper" }]);
  await expect(ann.requeueTask("t")).rejects.toMatchObject({ code: "forbidden" });
  expect(await boss.requeueTask("t")).toMatchObject({ status: "assigned", attempt: 0 });
  await expect(ann.reportTaskFailed("t", "never", { retry: false })).resolves.toMatchObject({
    status: "failed",
    error: "never",
  });
});

test("who shall do it is chosen among the others who are here, by what they can do and how busy they are", async () => {
  const boss = await bench.open("boss", { capabilities: ["review"] });
  const able = { capabilities: ["review"] };
  const [ann, bob] = [await bench.open("ann", able), await bench.open("bob", able)];
  await bench.open("cook", { capabilities: ["cooking"] });
  await ann.updateStatus("busy", "reading", { load: 0.9 });
  await bob.updateStatus("busy", "reading", { load: 0.2 });
  const loads = (): unknown[] => boss.getActiveAgents().map(({ load }) => load);
  await until(boss, ["agent:join", "agent:update"], () => loads().includes(0.9) && loads().includes(0.2));
  expect(boss.selectAgent({ capability: "review" })?.agent_id).toBe("bob");
  const round = [1, 2, 3].map(
    () => boss.selectAgent({ capability: "review", strategy: "round-robin" })?.agent_id,
  );
  expect(round).toEqual(["ann", "bob", "ann"]);
  expect(boss.selectAgent({ capability: "flying" })).toBeUndefined();
});

test("progress is heard; a question waits for its answer", async () => {
  const [boss, ann] = [await bench.open("boss"), await bench.open("ann")];
  work(ann, async (claimed) => {
    await claimed.progress(0.4, "reading");
    return { colour: await claimed.needInput("Which colour?") };
  });
  const progress = next(boss, "task:progress");
  const question = next(boss, "task:input_required");
  const completed = next(boss, "message:task_complete");
  await boss.assignTask(task("t"));
  expect(await progress).toMatchObject({
    task_id: "t",
    progress: expect.closeTo(0.4, 5) as number,
    note: "reading",
    agent: "ann",
  });
  expect(await question).toMatchObject({ task_id: "t", question: "Which colour?" });
  await expect(boss.answerTask("t", "")).resolves.toMatchObject({ status: "in_progress" });
  expect((await completed).payload).toMatchObject({ result: { colour: "" } });
  await expect(boss.answerTask("t", "late")).rejects.toMatchObject({ code: "invalid_state" });
});

test("a cancelled task tells its worker, and no result is taken", async () => {
  const [boss, ann] = [await bench.open("boss"), await bench.open("ann")];
  const aborted = gate<unknown>();
  work(ann, (claimed) => {
    return new Promise((_, reject) => {
      claimed.signal.addEventListener("abort", () => {
        aborted.open(claimed.signal.reason);
        reject(claimed.signal.reason as Error);
      });
    });
  });
  const claimed = next(boss, "task:claimed");
  await boss.assignTask(task("t"));
  await claimed;
  await boss.cancelTask("t", "not wanted");
  expect(await aborted.opened).toMatchObject({ message: expect.stringContaining("cancelled") as string });
  expect(await boss.getTask("t")).toMatchObject({ status: "cancelled", error: "not wanted" });
});

test("dependencies are done first; one that fails takes along what depends on it, or lets it go", async () => {
  const [boss, ann] = [await bench.open("boss"), await bench.open("ann")];
  const order: string[] = [];
  await boss.assignTasks([
    task("last", { dependencies: ["first", "second"] }),
    task("falls", { dependencies: ["bad"] }),
    task("goes", { dependencies: ["bad"], on_dependency_failure: "release" }),
    task("second", { dependencies: ["first"] }),
    task("first"),
    task("bad"),
  ]);
  const fallen = next(boss, "task:failed", ({ task_id }) => task_id === "falls");
  const completed = new Set<string>();
  boss.on("task:completed", ({ task_id }) => void completed.add(task_id));
  work(ann, ({ task_id }) => {
    order.push(task_id);
    if (task_id === "bad") throw new TaskFailure("bad");
  });
  await until(boss, ["task:completed"], () => completed.size === 4);
  expect((await fallen).error).toContain("'bad', which it depends on, is failed");
  const at = (id: string): number => order.indexOf(id);
  expect(at("first")).toBeLessThan(at("second"));
  expect(at("second")).toBeLessThan(at("last"));
  expect(order).not.toContain("falls");
  await expect(boss.assignTask(task("a", { dependencies: ["a"] }))).rejects.toThrow(/waits for itself/);
});

test("work that has to end finishes what runs, or gives it back for others to do", async () => {
  const boss = await bench.open("boss");
  const [ann, bob] = [await bench.open("ann"), await bench.open("bob")];
  const begun = gate();
  const stop = new AbortController();
  const ended = ann.work(
    ({ signal }) => {
      begun.open();
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    },
    { signal: stop.signal, graceMs: 1 },
  );
  await boss.assignTask(task("t", { max_attempts: 1 }));
  await begun.opened;
  const completed = next(boss, "task:completed");
  work(bob, () => "by bob");
  stop.abort();
  await ended;
  expect(await completed).toMatchObject({ task_id: "t", agent: "bob", attempt: 1 });
});

test("a shutdown gives back what runs", async () => {
  const [boss, ann] = [await bench.open("boss"), await bench.open("ann")];
  const begun = gate();
  void ann.work(() => {
    begun.open();
    return new Promise(() => {}); // deaf to its signal
  });
  await boss.assignTask(task("t"));
  await begun.opened;
  await ann.shutdown();
  expect(await boss.getTask("t")).toMatchObject({ status: "pending", attempt: 0 });
});

/** A validator as such libraries offer it. */
const textOf = (field: string): StandardSchema<{ [key: string]: string }> => ({
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      const found = (value as Record<string, unknown> | null)?.[field];
      return typeof found === "string"
        ? { value: { [field]: found } }
        : { issues: [{ message: "expected a text", path: [field] }] };
    },
  },
});

test("a kind of task checks its input at the sender and its result at the worker", async () => {
  const review = defineTask("review", { input: textOf("file"), output: textOf("verdict") });
  const [boss, ann] = [await bench.open("boss"), await bench.open("ann")];
  const ask = (id: string, file: unknown) =>
    review.assignment({
      task_id: id,
      description: "Review",
      assigned_to: "ann",
      input: { file: file as string },
    });
  await expect(ask("bad", 7)).rejects.toMatchObject({
    code: "invalid_argument",
    message: "task review: input: file: expected a text",
  });
  ann.on("error", () => {});
  work(
    ann,
    review.handler(({ file }) => ({ verdict: file === "good.ts" ? "fine" : (1 as never) })),
  );
  const completed = next(boss, "message:task_complete");
  const failed = next(boss, "task:failed");
  await boss.assignTasks([await ask("good", "good.ts"), await ask("wrong", "wrong.ts")]);
  expect(await review.result((await completed).payload.result)).toEqual({ verdict: "fine" });
  expect((await failed).error).toBe("task review: result: verdict: expected a text");
});

test("no worker of another tenant hears of a task or gets one, and none can answer or cancel it", async () => {
  const [boss, stranger] = [await bench.open("boss"), await bench.open("boss", {}, `${bench.tenant}-other`)];
  const heard: string[] = [];
  stranger.on("task:assigned", ({ task_id }) => void heard.push(task_id));
  work(stranger, ({ task_id }) => void heard.push(task_id));
  const ann = await bench.open("ann");
  const completed = next(boss, "task:completed");
  work(ann, () => "done");
  await boss.assignTask(task("t"));
  await completed;
  await expect(stranger.cancelTask("t")).rejects.toMatchObject({ code: "not_found" });
  await expect(stranger.answerTask("t", 1)).rejects.toMatchObject({ code: "not_found" });
  expect(await stranger.getTask("t")).toBeUndefined();
  expect(await stranger.listTasks()).toEqual([]);
  // What the stranger's tenant is told comes over the same way, so by now the other would have come.
  const own = next(stranger, "task:completed");
  await stranger.assignTask(task("own"));
  await own;
  expect(heard).toEqual(["own", "own"]);
});

test("a named lock is held by one at a time, passed on when it is let go, and its fence grows", async () => {
  const [ann, bob] = [await bench.open("ann"), await bench.open("bob")];
  const order: string[] = [];
  const held = await ann.tryLock("src/api.ts");
  expect(held).toBeDefined();
  expect(await bob.tryLock("src/api.ts")).toBeUndefined();
  expect(await ann.tryLock("src/api.ts")).toBeUndefined();
  expect(await bob.getLock("src/api.ts")).toMatchObject({ holder: "ann", fence: held?.fence });
  const freed = next(bob, "lock:freed");
  const waiting = bob.withLock("src/api.ts", ({ fence }) => {
    order.push("bob");
    return fence;
  });
  order.push("ann");
  await held?.release();
  expect(await freed).toMatchObject({ name: "src/api.ts", holder: "ann" });
  expect(await waiting).toBeGreaterThan(held?.fence ?? Infinity);
  expect(order).toEqual(["ann", "bob"]);
  expect(await ann.getLock("src/api.ts")).toBeUndefined();
});

test("waiting for a lock can be given up; a tenant's locks are its own; a shutdown lets them go", async () => {
  const [ann, bob] = [await bench.open("ann"), await bench.open("bob")];
  const stranger = await bench.open("ann", {}, `${bench.tenant}-other`);
  await ann.tryLock("l");
  const stop = new AbortController();
  const waiting = bob.withLock("l", () => "never", { signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  expect(await stranger.getLock("l")).toBeUndefined();
  expect(await stranger.tryLock("l")).toBeDefined();
  await ann.shutdown();
  expect(await bob.tryLock("l")).toBeDefined();
});

test("what Postgres cannot store ends a task all the same: in an error it is left out, a result with it is refused by name", async () => {
  const boss = await bench.open("boss");
  const worker = await bench.open("worker");
  const outcomes: Record<string, () => unknown> = {
    throws: () => {
      throw new TaskFailure("exit 1: \0 \ud800 no such file");
    },
    returns: () => ({ output: "binary \0" }),
  };
  work(worker, ({ task_id }) => outcomes[task_id]?.());
  await boss.assignTasks([task("throws"), task("returns", { max_attempts: 1 })]);
  const ended = new Set<string>();
  boss.on("task:failed", ({ task_id }) => void ended.add(task_id));
  boss.on("task:dead", ({ task_id }) => void ended.add(task_id));
  await until(boss, ["task:failed", "task:dead"], () => ended.size === 2);
  expect((await boss.getTask("throws"))?.error).toBe("exit 1:  \ufffd no such file");
  expect((await boss.getTask("returns"))?.error).toContain(
    "the result: a text in it has a NUL or half a surrogate pair",
  );
  await expect(boss.sendMessage("worker", "t", { text: "\0" })).rejects.toMatchObject({
    code: "invalid_argument",
  });
  await expect(boss.assignTask(task("nul", { description: "\0" }))).rejects.toMatchObject({
    code: "invalid_argument",
    remedy: expect.stringContaining("NUL") as string,
  });
});
