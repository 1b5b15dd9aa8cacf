import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  as,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  rpc,
  type Caller,
} from "../../../../test-support/sql-roles.ts";

type Task = Record<string, unknown>;

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

/** A tenant with a boss who assigns and workers who claim. */
function team() {
  const tenant = newTenant();
  const [boss, ann, bob] = [agent(tenant, "boss"), agent(tenant, "ann"), agent(tenant, "bob")];
  return {
    tenant,
    boss,
    ann,
    bob,
    assign: (task: object) => call(database, boss, "assign_task", { task: { description: "d", ...task } }),
    claim: (worker: Caller, more: object = {}): Promise<Task[]> =>
      callRows(database, worker, "claim_tasks", { ...more }),
    /** As if the time of all leases and back-offs were over. */
    later: () =>
      database.query(
        `update public.agent_task_queue set ready_at = ready_at - interval '2 minutes', lease_until = lease_until - interval '1 minute' where tenant_id = $1`,
        [tenant],
      ),
    sweep: () => call(database, boss, "sweep"),
    inboxOf: async (who: Caller) =>
      (await callRows(database, who, "pull_inbox")).map(({ type, payload }) => [type, payload]),
  };
}

test("a task for whoever is free is claimed once, by urgency, and completed by who holds it", async () => {
  const { boss, ann, bob, assign, claim, inboxOf } = team();
  await assign({ task_id: "low", assigned_to: null, priority: "low" });
  await assign({ task_id: "high", assigned_to: null, priority: "critical" });
  await assign({ task_id: "review", capability: "review" });
  await assign({ task_id: "bobs", assigned_to: "bob" });
  const mine = await claim(ann, { max_tasks: 2, instance_id: "i" });
  expect(mine.map(({ task_id }) => String(task_id)).toSorted()).toEqual(["high", "low"]);
  expect(mine[0]).toMatchObject({
    status: "in_progress",
    attempt: 1,
    fence: 1,
    lease_agent: "ann",
    instance_id: "i",
  });
  expect(await claim(ann)).toEqual([]);
  expect(await claim(ann, { capabilities: ["review"] })).toMatchObject([{ task_id: "review" }]);
  expect(await claim(bob)).toMatchObject([{ task_id: "bobs" }]);
  await expect(
    call(database, bob, "complete_task", { task_id: "high", result: 1, fence: 1 }),
  ).rejects.toMatchObject({
    code: "42501",
  });
  expect(
    await call(database, ann, "complete_task", { task_id: "high", result: { n: 1 }, fence: 1 }),
  ).toMatchObject({
    status: "completed",
  });
  expect(await inboxOf(boss)).toEqual([
    ["task_complete", { task_id: "high", result: { n: 1 }, completed_by: "ann" }],
  ]);
});

test("who lost the lease cannot end the task: the late result is kept beside it", async () => {
  const { ann, bob, assign, claim, later, sweep } = team();
  await assign({ task_id: "t", assigned_to: null });
  await claim(ann);
  expect(await call(database, ann, "renew_tasks", { leases: [{ task_id: "t", fence: 1 }] })).toEqual(["t"]);
  await later();
  expect(await sweep()).toMatchObject({ tasks: 1 });
  expect(await call(database, ann, "renew_tasks", { leases: [{ task_id: "t", fence: 1 }] })).toEqual([]);
  const [again] = await claim(bob);
  expect(again).toMatchObject({ task_id: "t", attempt: 2, fence: 3, error: "the lease of ann ran out" });
  expect(
    await call(database, ann, "complete_task", { task_id: "t", result: { is: "late" }, fence: 1 }),
  ).toMatchObject({
    status: "in_progress",
    superseded: true,
    superseded_results: [{ agent: "ann", fence: 1, result: { is: "late" } }],
  });
  await expect(
    call(database, ann, "fail_task", { task_id: "t", error: "x", fence: 1 }),
  ).rejects.toMatchObject({
    code: "55000",
  });
  expect(
    await call(database, bob, "complete_task", { task_id: "t", result: { is: "right" }, fence: 3 }),
  ).toMatchObject({
    status: "completed",
    result: { is: "right" },
  });
  expect(
    await call(database, ann, "complete_task", { task_id: "t", result: { is: "later" }, fence: 1 }),
  ).toMatchObject({
    status: "completed",
    result: { is: "right" },
    superseded: true,
  });
});

test("a failure is tried again after a back-off, until there are no attempts left; then it can be requeued", async () => {
  const { boss, ann, assign, claim, later, inboxOf } = team();
  await assign({ task_id: "t", assigned_to: null, max_attempts: 2 });
  const [first] = await claim(ann);
  await call(database, ann, "report_progress", {
    task_id: "t",
    fence: Number(first?.["fence"]),
    progress: 0.5,
    checkpoint: { at: 7 },
  });
  const failed = await call(database, ann, "fail_task", {
    task_id: "t",
    error: "oops",
    fence: Number(first?.["fence"]),
  });
  expect(failed).toMatchObject({ status: "pending", attempt: 1, error: "oops" });
  expect(await claim(ann)).toEqual([]); // the back-off
  await later();
  const [second] = await claim(ann);
  expect(second).toMatchObject({ attempt: 2, checkpoint: { at: 7 } });
  expect(
    await call(database, ann, "fail_task", {
      task_id: "t",
      error: "again",
      fence: Number(second?.["fence"]),
    }),
  ).toMatchObject({
    status: "dead",
    error: "again",
  });
  expect(await inboxOf(boss)).toMatchObject([
    ["task_failed", { task_id: "t", status: "dead", error: "again" }],
  ]);
  expect(await callRows(database, boss, "list_tasks", { statuses: ["dead"] })).toMatchObject([
    { task_id: "t" },
  ]);
  await expect(call(database, ann, "requeue_task", { task_id: "t" })).rejects.toMatchObject({
    code: "42501",
  });
  expect(await call(database, boss, "requeue_task", { task_id: "t" })).toMatchObject({
    status: "pending",
    attempt: 0,
  });
  expect(await claim(ann)).toMatchObject([{ task_id: "t", attempt: 1 }]);
});

test.each([
  [1, 1],
  [3, 4],
  [6, 32],
  [7, 60],
  [20, 60],
])(
  "after attempt %i the next one is about %i s later, not all at the same time",
  async (attempt, seconds) => {
    const { tenant, ann, boss, claim } = team();
    const tasks = Array.from({ length: 20 }, (_, n) => ({
      task_id: `t${n}`,
      description: "d",
      assigned_to: null,
      max_attempts: 100,
    }));
    await callRows(database, boss, "assign_tasks", { tasks });
    await claim(ann, { max_tasks: 20 });
    await database.query("update public.agent_tasks set attempt = $2 where tenant_id = $1", [
      tenant,
      String(attempt),
    ]);
    const waits = await as(database, ann, async (session) => {
      for (const { task_id } of tasks) await rpc(session, "fail_task", { task_id, error: "no" });
      const { rows } = await session.query(
        "select extract(epoch from ready_at - now()) from public.agent_task_queue",
      );
      return rows.map(([wait]) => Number(wait) / seconds);
    });
    expect(waits).toHaveLength(20);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0.75);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1.25);
    expect(new Set(waits).size).toBeGreaterThan(10);
  },
);

test("a task of low priority has its turn beside a queue of critical ones that does not end", async () => {
  const { boss, ann, assign, claim } = team();
  await assign({ task_id: "old", assigned_to: null, priority: "low" });
  const urgent = (n: number): object => ({
    task_id: `u${n}`,
    description: "d",
    assigned_to: null,
    priority: "critical",
  });
  await callRows(database, boss, "assign_tasks", { tasks: Array.from({ length: 250 }, (_, n) => urgent(n)) });
  // One claim in ten goes by age: that none of 250 does is as good as impossible, and that the first one does is not.
  let claims = 0;
  for (let claimed: unknown; claimed !== "old"; claims++) {
    const [task] = await claim(ann);
    claimed = task?.["task_id"];
    if (claims > 250) break;
  }
  expect(claims).toBeLessThanOrEqual(250);
});

test("no retry, a cancellation and a deadline each end a task for good, with the reason", async () => {
  const { boss, ann, assign, claim, sweep, tenant } = team();
  for (const task_id of ["fails", "cancelled", "due"]) await assign({ task_id, assigned_to: "ann" });
  for (const task of await claim(ann, { max_tasks: 3 }))
    if (task["task_id"] === "fails")
      expect(
        await call(database, ann, "fail_task", {
          task_id: "fails",
          error: "no",
          fence: Number(task["fence"]),
          retry: false,
        }),
      ).toMatchObject({ status: "failed", error: "no" });
  expect(await call(database, boss, "cancel_task", { task_id: "cancelled", reason: "enough" })).toMatchObject(
    {
      status: "cancelled",
      error: "enough",
    },
  );
  await database.query(
    "update public.agent_tasks set deadline = now() - interval '1 second' where tenant_id = $1 and task_id = 'due'",
    [tenant],
  );
  await sweep();
  expect(await call(database, boss, "get_task", { task_id: "due" })).toMatchObject({
    status: "failed",
    error: "its deadline passed",
  });
  await expect(call(database, ann, "cancel_task", { task_id: "due" })).rejects.toMatchObject({
    code: "42501",
  });
  for (const task_id of ["fails", "due"])
    await expect(call(database, boss, "cancel_task", { task_id })).rejects.toMatchObject({ code: "55000" });
  expect(await claim(ann, { max_tasks: 9 })).toEqual([]);
});

test("the answer to a question is there for the next attempt that asks the same, and for no other question", async () => {
  const { boss, ann, bob, assign, claim, later, sweep } = team();
  await assign({ task_id: "t", assigned_to: null });
  const ask = (who: Caller, fence: number, question: string): Promise<Task> =>
    call(database, who, "request_input", { task_id: "t", fence, question });
  await claim(ann);
  expect(await ask(ann, 1, "colour?")).toMatchObject({ status: "input_required", answer: null });
  await call(database, boss, "answer_task", { task_id: "t", answer: '"red"' });
  await later();
  await sweep();
  const [again] = await claim(bob);
  const fence = Number(again?.["fence"]);
  expect(await ask(bob, fence, "colour?")).toMatchObject({ status: "in_progress", answer: "red" });
  expect(await ask(bob, fence, "size?")).toMatchObject({ status: "input_required", answer: null });
});

test("leases of a process that peers saw leave end soon, once, and those of other processes stay", async () => {
  const { bob, ann, assign, claim, tenant } = team();
  await assign({ task_id: "gone", assigned_to: null });
  await claim(ann, { instance_id: "1" });
  await assign({ task_id: "here", assigned_to: null });
  await claim(ann, { instance_id: "2" });
  expect(await call(database, bob, "report_agent_gone", { agent: "ann", instance: "1" })).toBe(1);
  expect(await call(database, bob, "report_agent_gone", { agent: "ann", instance: "1" })).toBe(0);
  const { rows } = await database.query(
    "select task_id from public.agent_tasks where tenant_id = $1 and lease_until < now() + interval '2 seconds'",
    [tenant],
  );
  expect(rows).toEqual([["gone"]]);
});

test("a claim whose answer was lost is answered again with the same tasks, as long as their leases hold", async () => {
  const { ann, bob, assign, later, sweep } = team();
  for (const task_id of ["a", "b", "c"]) await assign({ task_id, assigned_to: null });
  const next = async (worker: Caller, claim_id: string, more: object = {}): Promise<Task[]> =>
    (await call<{ tasks: Task[] }>(database, worker, "next_tasks", { claim_id, max_tasks: 2, ...more }))
      .tasks;
  const [id, other] = [randomUUID(), randomUUID()];
  const first = await next(ann, id);
  expect(await next(bob, id)).toMatchObject([{ task_id: "c", lease_agent: "bob" }]); // nobody else's, though it has the name
  const again = await next(ann, id);
  const facts = ({ task_id, fence, attempt }: Task) =>
    `${String(task_id)} ${String(fence)} ${String(attempt)}`;
  expect(again.map(facts).toSorted()).toEqual(first.map(facts).toSorted());
  expect(again).toMatchObject([{ attempt: 1 }, { attempt: 1 }]);
  expect(await next(ann, other)).toEqual([]);
  await next(ann, other, { max_tasks: 0, ended: [{ task_id: "a", fence: 1, result: 1 }] });
  expect(await next(ann, id)).toMatchObject([{ task_id: "b" }]);
  await later();
  await sweep();
  expect(await next(bob, other)).toMatchObject([{ fence: 3 }, { fence: 3 }]);
  expect(await next(ann, id)).toEqual([]);
});

test("a worker says in one call how its tasks ended, and what is refused stops nothing else", async () => {
  const { boss, ann, bob, assign, claim, inboxOf } = team();
  const ids = ["done", "thrown", "given up", "too large", "bobs"];
  for (const task_id of ids)
    await assign({ task_id, assigned_to: task_id === "bobs" ? "bob" : "ann", max_attempts: 1 });
  await claim(bob);
  await claim(ann, { max_tasks: 4 });
  const ended = [
    { task_id: "done", fence: 1, result: null },
    { task_id: "thrown", fence: 1, error: "oh" },
    { task_id: "given up", fence: 1, error: "no", retry: false },
    { task_id: "too large", fence: 1, result: "x".repeat(1_048_577) },
    { task_id: "bobs", fence: 1, result: 1 },
    { task_id: "unknown", fence: 1, result: 1 },
  ];
  const say = (): Promise<{ refused: Task[] }> =>
    call(database, ann, "next_tasks", { claim_id: randomUUID(), max_tasks: 0, ended });
  const refusedOf = async () => (await say()).refused.map(({ task_id, code }) => [task_id, code]);
  const refused = [
    ["too large", "22023"],
    ["bobs", "42501"],
    ["unknown", "P0002"],
  ];
  expect(await refusedOf()).toEqual(refused);
  // Said again, because the answer was lost: a completion is the same completion, and nothing ends twice.
  expect(await refusedOf()).toEqual([["thrown", "55000"], ["given up", "55000"], ...refused]);
  const stateOf = async (task_id: string) =>
    (await call<Task>(database, boss, "get_task", { task_id }))["status"];
  expect(await Promise.all(ids.map(stateOf))).toEqual([
    "completed",
    "dead",
    "failed",
    "in_progress",
    "in_progress",
  ]);
  expect((await inboxOf(boss)).map(([type]) => type)).toEqual([
    "task_complete",
    "task_failed",
    "task_failed",
  ]);
});

test.each([
  ["claim_tasks", { max_tasks: 0 }, "22023"],
  ["next_tasks", { claim_id: null }, "22023"],
  ["next_tasks", { claim_id: randomUUID(), max_tasks: -1 }, "22023"],
  ["next_tasks", { claim_id: randomUUID(), ended: {} }, "22023"],
  ["next_tasks", { claim_id: randomUUID(), ended: [{}] }, "22023"],
  ["renew_tasks", { leases: {} }, "22023"],
  ["fail_task", { task_id: "nobody", error: "x" }, "P0002"],
  ["cancel_task", { task_id: "" }, "22023"],
  ["report_progress", { task_id: "t", fence: 1, progress: 2 }, "22023"],
  ["report_progress", { task_id: "t", fence: 9, progress: 1 }, "55000"],
  ["requeue_task", { task_id: "t" }, "55000"],
])("%s with %j is refused with %s", async (name, args, code) => {
  const { boss, assign } = team();
  await assign({ task_id: "t", assigned_to: "boss" });
  await expect(call(database, boss, name, args)).rejects.toMatchObject({ code });
});
