import { expect, test } from "vitest";
import { wakeDelayMs } from "./wake-up.ts";

const turnsOf = (task: string, workers: number): number[] =>
  Array.from({ length: workers }, (_, index) => wakeDelayMs(task, `worker-${index}`, workers)).toSorted(
    (a, b) => a - b,
  );

test("of a thousand who wait for a task a few try at once, and soon", () => {
  for (let task = 0; task < 100; task++) {
    const turns = turnsOf(`task-${task}`, 1_000);
    expect(turns.filter((ms) => ms <= (turns[0] ?? 0)).length).toBeLessThanOrEqual(15);
    expect(turns[0]).toBeLessThanOrEqual(400);
  }
});

test("one who waits alone among a thousand who do not has its turn soon, whoever it is", () => {
  expect(Math.max(...turnsOf("task", 1_000))).toBeLessThan(500);
  // Each step lets twice as many try: most hear of the claim before their turn.
  const [first = 0, second = 0] = [0, 40].map(
    (ms) => turnsOf("task", 1_000).filter((turn) => turn === ms).length,
  );
  expect(first + second).toBeLessThanOrEqual(20);
});

test("another task is another worker's turn, and one who waits alone does not wait", () => {
  const first = (task: string): number =>
    Array.from({ length: 100 }, (_, index) => wakeDelayMs(task, `worker-${index}`, 100)).reduce(
      (best, ms, index, all) => (ms < (all[best] ?? Infinity) ? index : best),
      0,
    );
  expect(new Set(Array.from({ length: 50 }, (_, index) => first(`task-${index}`))).size).toBeGreaterThan(20);
  expect(wakeDelayMs("task", "worker", 1)).toBe(0);
});
