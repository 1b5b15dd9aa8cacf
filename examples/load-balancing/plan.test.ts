import fc from "fast-check";
import { expect, test } from "vitest";
import { piecesOf, Plan } from "./plan.ts";
import { countPrimes } from "./primes.ts";

test("the pieces cover the range once, and the primes of the pieces are the primes of the range", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 30 }), (to, count) => {
      const counted = piecesOf(to, count).reduce((sum, piece) => sum + countPrimes(piece.from, piece.to), 0);
      expect(counted).toBe(countPrimes(0, to));
    }),
  );
});

test("there are 25 primes below 100", () => {
  expect(countPrimes(0, 100)).toBe(25);
});

test("a worker has one order at a time", () => {
  const plan = new Plan(piecesOf(100, 3));
  plan.join("a");
  plan.join("b");
  expect(plan.next().map((order) => [order.worker, order.taskId])).toEqual([
    ["a", "primes-01.1"],
    ["b", "primes-02.1"],
  ]);
  expect(plan.next()).toEqual([]);
});

test("pieces that are kept wait, whoever is free", () => {
  const plan = new Plan(piecesOf(100, 3));
  for (const worker of ["a", "b", "c"]) plan.join(worker);
  expect(plan.next(2)).toHaveLength(1);
  expect(plan.next(1)).toHaveLength(1);
  expect(plan.next()).toHaveLength(1);
});

test("whatever order workers join, leave and finish in, every piece is done once as long as somebody is there", () => {
  const step = fc.record({
    kind: fc.constantFrom("join", "leave", "finish"),
    worker: fc.constantFrom("a", "b", "c"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const plan = new Plan(piecesOf(1000, 8));
      const finish = (worker: string): void => {
        for (const { taskId, piece } of plan.ordersOf(worker))
          plan.complete(taskId, countPrimes(piece.from, piece.to));
      };
      for (const { kind, worker } of steps) {
        if (kind === "join") plan.join(worker);
        else if (kind === "leave") plan.leave(worker);
        else finish(worker);
        plan.next();
      }
      plan.join("last");
      for (let round = 0; round < 20 && !plan.isDone; round++) {
        plan.next();
        for (const worker of ["a", "b", "c", "last"]) finish(worker);
      }
      expect(plan.isDone).toBe(true);
      expect(plan.sum).toBe(168);
    }),
  );
});

test("an answer that was given up on still counts, once", () => {
  const plan = new Plan(piecesOf(10, 1));
  plan.join("a");
  const [order] = plan.next();
  expect(plan.leave("a")).toHaveLength(1);
  expect(plan.complete(order?.taskId ?? "", 4)).toBe(true);
  expect(plan.complete("primes-01.2", 4)).toBe(false);
  expect([plan.isDone, plan.sum]).toEqual([true, 4]);
});
