/** The table of docs/tasks.md, cell by cell: what each call, and time, make of a task in each state. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
} from "../../../../test-support/sql-roles.ts";
import { buildTask, events, states, type Built, type State, type TaskTeam } from "./testing/task-states.ts";

let database: Database;
let team: TaskTeam;
beforeAll(async () => {
  database = await openFederationDatabase();
  const tenant = newTenant();
  team = {
    tenant,
    database,
    boss: agent(tenant, "boss"),
    ann: agent(tenant, "ann"),
    stranger: agent(tenant, "stranger"),
  };
});
afterAll(() => database.close());

const written = tableOf(readFileSync(new URL("../../../../docs/tasks.md", import.meta.url), "utf8"));

test("the table has every event in every state", () => {
  expect([...written.keys()]).toEqual(Object.keys(events));
  for (const cells of written.values()) expect(cells.size).toBe(states.length);
});

const cells = [...written].flatMap(([event, row]) =>
  [...row].map(([state, cell]) => ({ event, state, cell })),
);

test.each(cells.filter(({ cell }) => cell !== "—"))(
  "$event, $state: $cell",
  async ({ event, state, cell }) => {
    // For ann by name, and for whoever is free: a task that goes back goes where it came from.
    for (const assignedTo of state === "pending" ? [null] : state === "assigned" ? ["ann"] : [null, "ann"]) {
      const { setUp, happen } = events[event] ?? missing(event);
      const built = await buildTask(team, state, { assignedTo, ...setUp });
      expect(built.before["status"]).toBe(state);
      const outcome = await happen(team, built).then(
        (answer) => ({ answer, code: undefined }),
        (error: { code: string }) => ({ answer: undefined, code: error.code }),
      );
      expect(outcome.code).toBe(/^\d/.test(cell) ? cell : undefined);
      expectCell(cell, built, await taskNow(built), assignedTo);
      if (cell === "held") expect(outcome.answer).toEqual([[built.taskId]]);
    }
  },
);

test("no call finds a task that is not there", async () => {
  const { ann } = team;
  const nothing = { task_id: "nothing" };
  const held = { ...nothing, fence: 1 };
  const calls: [string, Record<string, string | number>][] = [
    ["complete_task", { ...nothing, result: 1 }],
    ["fail_task", { ...nothing, error: "e" }],
    ["report_progress", held],
    ["request_input", { ...held, question: "q" }],
    ["release_task", held],
    ["answer_task", { ...nothing, answer: 1 }],
    ["cancel_task", nothing],
    ["requeue_task", nothing],
  ];
  for (const [name, args] of calls)
    await expect(call(database, ann, name, args), name).rejects.toMatchObject({ code: "P0002" });
  expect(await callRows(database, ann, "renew_tasks", { leases: [held] })).toEqual([[]]);
});

async function taskNow({ taskId }: Built): Promise<Record<string, unknown>> {
  return await call(database, team.boss, "get_task", { task_id: taskId });
}

function expectCell(
  cell: string,
  { before }: Built,
  after: Record<string, unknown>,
  assignedTo: string | null,
): void {
  const results = (task: Record<string, unknown>): number => (task["superseded_results"] as unknown[]).length;
  if (cell === "·" || /^\d/.test(cell)) return expect(after).toEqual(before);
  if (cell === "kept") expect(results(after)).toBe(results(before) + 1);
  else expect(results(after)).toBe(results(before));
  if (cell === "noted") expect(after["progress"]).toBe(0.5);
  if (cell === "held") expect(after["version"]).not.toBe(before["version"]);
  const stays = ["kept", "noted", "held"].includes(cell);
  const becomes = cell === "back" ? (assignedTo === null ? "pending" : "assigned") : cell;
  expect(after["status"]).toBe(stays ? before["status"] : becomes);
  const isHeld = ["in_progress", "input_required"].includes(String(after["status"]));
  expect(after["lease_until"] !== null, "held or not").toBe(isHeld);
  expect(after["ended_at"] !== null, "ended or not").toBe(
    ["completed", "failed", "cancelled", "dead"].includes(String(after["status"])),
  );
}

/** Event → state → cell. */
function tableOf(markdown: string): Map<string, Map<State, string>> {
  const section = markdown.split("## Every transition")[1]?.split("\n## ")[0] ?? "";
  const rows = section
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [head = [], , ...body] = rows;
  expect(head.slice(1)).toEqual(states);
  return new Map(
    body.map(([event = "", ...row]) => [
      event.replaceAll("`", ""),
      new Map(states.map((state, index) => [state, row[index] ?? ""])),
    ]),
  );
}

function missing(event: string): never {
  throw new Error(`no event ${event}`);
}
