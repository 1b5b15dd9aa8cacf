import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

test("work goes on within the limit, and the next turn has a limit of its own", async () => {
  let nowMs = 100;
  const due: (() => void)[] = [];
  const turns = new Turns({ limitMs: 4, nowMs: () => nowMs, afterTurn: (then) => void due.push(then) });
  expect(turns.isOver()).toBe(false);
  nowMs = 103.9;
  expect(turns.isOver()).toBe(false);
  nowMs = 104;
  expect(turns.isOver()).toBe(true);
  const next = turns.next();
  due.shift()?.();
  await next;
  expect(turns.isOver()).toBe(false);
  nowMs = 108;
  expect(turns.isOver()).toBe(true);
});

test("a turn that ends with nobody waiting asks for no other", () => {
  const due: (() => void)[] = [];
  const turns = new Turns({ afterTurn: (then) => void due.push(then) });
  turns.isOver();
  due.shift()?.();
  expect(due).toHaveLength(0);
});

test("the loop's own turns serve timers between those who wait", async () => {
  const turns = new Turns({ limitMs: 0 });
  const order: string[] = [];
  const wait = (name: string): Promise<void> => turns.next().then(() => void order.push(name));
  const immediate = new Promise<void>((resolve) => {
    setImmediate(() => {
      order.push("other");
      resolve();
    });
  });
  await Promise.all([wait("first"), wait("second"), immediate]);
  expect(order.indexOf("other")).toBeLessThan(order.indexOf("second"));
  expect(order.indexOf("first")).toBeLessThan(order.indexOf("second"));
});
