import fc from "fast-check";
import { expect, test } from "vitest";
import { IdTurns } from "./id-turns.ts";

test("tasks that share an id never overlap and keep their order; others do not wait for each other", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 })),
      async (s, wanted) => {
        const turns = new IdTurns();
        const running = new Set<string>();
        const order: number[] = [];
        const all = wanted.map((ids, task) =>
          turns.take(ids, async () => {
            for (const id of ids) expect(running.has(id)).toBe(false);
            for (const id of ids) running.add(id);
            order.push(task);
            await s.schedule(Promise.resolve());
            for (const id of ids) running.delete(id);
          }),
        );
        await s.waitFor(Promise.all(all));
        for (const id of ["a", "b", "c"] as const) {
          const ofId = order.filter((task) => wanted[task]?.includes(id));
          expect(ofId).toEqual(ofId.toSorted((a, b) => a - b));
        }
      },
    ),
  );
});

test("a task that fails lets the next one in", async () => {
  const turns = new IdTurns();
  const failing = turns.take(["a"], () => Promise.reject(new Error("mine")));
  const next = turns.take(["a", "b"], () => Promise.resolve("done"));
  await expect(failing).rejects.toThrow("mine");
  expect(await next).toBe("done");
});
