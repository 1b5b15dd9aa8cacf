import { expect, test } from "vitest";
import { parseReadyTasks } from "./task-event.ts";
import { checkTask, parseTask } from "./task.ts";

const task = { task_id: "t1", assigned_to: "a", description: "Read" };

test("a task keeps its extra fields and loses what is undefined", () => {
  expect(checkTask({ ...task, topic: "AI", note: undefined })).toEqual({ ...task, topic: "AI" });
});

test.each([
  ["nobody", { ...task, assigned_to: undefined }],
  ["an empty name", { ...task, assigned_to: "" }],
])("a task for %s is refused", (_name, bad) => {
  expect(() => checkTask(bad)).toThrow(/assigned_to names nobody/);
});

test.each([
  ["no object", "task"],
  ["no id", { ...task, task_id: "" }],
  ["no description", { ...task, description: undefined }],
  ["a bad agent", { ...task, assigned_to: "a b" }],
  ["an unknown priority", { ...task, priority: "urgent" }],
  ["a deadline that is no time", { ...task, deadline: "soon" }],
  ["dependencies that are no ids", { ...task, dependencies: "t0" }],
  ["a function", { ...task, run: () => 1 }],
])("%s is refused with what was expected", (_name, bad) => {
  expect(() => checkTask(bad)).toThrow(/expected|cannot be sent/);
});

test("a row that is no task is a protocol error", () => {
  expect(() => parseTask(null)).toThrow(/agent_tasks/);
  expect(parseTask({ task_id: "t1", status: "assigned" }).task_id).toBe("t1");
});

test("one task that can be claimed is announced alone, several together; what is none is left out", () => {
  const open = { task_id: "t1", assigned_to: null, capability: "review", ready_in_ms: 40 };
  const ready = { taskId: "t1", assignedTo: undefined, capability: "review", readyInMs: 40 };
  expect(parseReadyTasks(open)).toEqual([ready]);
  const mine = { task_id: "t2", assigned_to: "ann", capability: null };
  expect(parseReadyTasks({ id: "frame", tasks: [open, null, { task_id: 3 }, mine] })).toEqual([
    ready,
    { taskId: "t2", assignedTo: "ann", capability: undefined, readyInMs: 0 },
  ]);
  for (const nothing of [undefined, "t1", {}, { tasks: "t1" }]) expect(parseReadyTasks(nothing)).toEqual([]);
});
