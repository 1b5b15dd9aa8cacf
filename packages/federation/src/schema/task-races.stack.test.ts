import { afterAll, beforeAll, expect, test } from "vitest";
import { nativeUrl } from "../../../../test-support/database.ts";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  as,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  rpc,
} from "../../../../test-support/sql-roles.ts";
import { settled } from "./testing/settled.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

// The embedded database has one connection: nothing happens at once there.
const testAtOnce = test.skipIf(nativeUrl === undefined);

function team() {
  const tenant = newTenant();
  const [boss, ann] = [agent(tenant, "boss"), agent(tenant, "ann")];
  const taskOf = (task_id: string, more: object = {}) => ({
    task: { task_id, description: "d", assigned_to: null, ...more },
  });
  return {
    tenant,
    boss,
    ann,
    taskOf,
    assign: (task_id: string, more?: object) => call(database, boss, "assign_task", taskOf(task_id, more)),
    claim: async (many = 9) =>
      (await callRows(database, ann, "claim_tasks", { max_tasks: many })).map(({ task_id }) =>
        String(task_id),
      ),
    complete: (task_id: string) => call(database, ann, "complete_task", { task_id, result: 1 }),
    sweep: () => call(database, boss, "sweep"),
    read: (task_id: string) => call(database, boss, "get_task", { task_id }),
  };
}

testAtOnce(
  "a task goes on when what it waits for is completed before the assignment has committed",
  async () => {
    const { boss, assign, taskOf, claim, complete, sweep } = team();
    await assign("there");
    await claim();
    await as(database, boss, async (session) => {
      await rpc(session, "assign_task", taskOf("second", { dependencies: ["there"] }));
      await rpc(session, "assign_task", taskOf("third", { dependencies: ["later"] }));
      await complete("there");
      // One that is not even known yet.
      await assign("later");
      expect(await claim()).toEqual(["later"]);
      await complete("later");
    });
    await sweep();
    expect((await claim()).toSorted()).toEqual(["second", "third"]);
  },
);

testAtOnce("a task goes on when the completion commits after it was looked at", async () => {
  const { ann, assign, claim, sweep } = team();
  await assign("first");
  await claim();
  await as(database, ann, async (session) => {
    await rpc(session, "complete_task", { task_id: "first", result: 1 });
    await assign("second", { dependencies: ["first"] });
    await sweep();
    await sweep();
    expect(await claim()).toEqual([]);
  });
  await settled(database);
  await sweep();
  expect(await claim()).toEqual(["second"]);
});

test("a task fails when what it waits for had failed before, or goes on where that was asked for", async () => {
  const { boss, assign, claim, sweep, read } = team();
  await assign("bad");
  await call(database, boss, "cancel_task", { task_id: "bad" });
  await assign("falls", { dependencies: ["bad"] });
  await assign("goes", { dependencies: ["bad"], on_dependency_failure: "release" });
  await assign("waits", { dependencies: ["unknown"] });
  await sweep();
  expect(await read("falls")).toMatchObject({
    status: "failed",
    error: "task 'bad', which it depends on, is cancelled",
  });
  expect(await claim()).toEqual(["goes"]);
  expect(await read("waits")).toMatchObject({ status: "pending" });
});

testAtOnce("two assignments that close a circle together are taken one after the other", async () => {
  const { boss, assign, taskOf } = team();
  await as(database, boss, async (session) => {
    await rpc(session, "assign_task", taskOf("x", { dependencies: ["y"] }));
    const meanwhile = as(database, boss, async (other) => {
      await other.query("set local lock_timeout = '1ms'");
      await rpc(other, "assign_task", taskOf("y", { dependencies: ["x"] }));
    });
    await expect(meanwhile).rejects.toMatchObject({ code: "55P03" });
  });
  await expect(assign("y", { dependencies: ["x"] })).rejects.toThrow(/'y' waits for itself/);
});

testAtOnce(
  "a claim passes over a task that somebody else is changing, and does not wait for it",
  async () => {
    const { tenant, ann, assign, claim } = team();
    await assign("busy", { priority: "critical" });
    await assign("free");
    await database.transaction(async (session) => {
      await session.query(
        "select from public.agent_tasks where tenant_id = $1 and task_id = 'busy' for update",
        [tenant],
      );
      const claimed = await as(database, ann, async (other) => {
        await other.query("set local lock_timeout = '1ms'");
        return await rpc(other, "claim_tasks", { max_tasks: 2 });
      });
      expect(claimed).toMatchObject({ task_id: "free" });
    });
    expect(await claim()).toEqual(["busy"]);
  },
);

test("a lane is read by urgency, or by age alone, without what waits, is held or is not ready", async () => {
  const { tenant, assign, claim } = team();
  for (const [id, priority] of [
    ["old", "low"],
    ["middle", "medium"],
    ["new", "critical"],
    ["held", "critical"],
  ] as const)
    await assign(id, { priority });
  await assign("other", { capability: "review", assigned_to: undefined });
  await assign("waits", { dependencies: ["held"] });
  await database.query(
    "update public.agent_task_queue q set lease_until = now() + interval '1 hour' from public.agent_tasks t where t.row_id = q.task_row and t.tenant_id = $1 and t.task_id = 'held'",
    [tenant],
  );
  const lane = async (byAge: boolean) => {
    const { rows } = await database.query(
      "select t.task_id from federation.ready_in_lane($1, 'able ', $2, 9) r join public.agent_tasks t on t.row_id = r.task_row order by r.rank",
      [tenant, String(byAge)],
    );
    return rows.map(([id]) => id);
  };
  expect(await lane(false)).toEqual(["new", "middle", "old"]);
  expect(await lane(true)).toEqual(["old", "middle", "new"]);
  expect((await claim()).toSorted()).toEqual(["middle", "new", "old"]);
});
