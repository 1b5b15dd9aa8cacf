import fc from "fast-check";
import { expect, test } from "vitest";
import { Lane } from "./lane.ts";

test("work is done in order, waiting or not, and a lane that is done says so", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 20 }), async (waits) => {
      const done: number[] = [];
      let idles = 0;
      const lane = new Lane<number>(
        (n) => {
          const isWaiting = waits[n] === true;
          if (!isWaiting) return void done.push(n);
          return Promise.resolve().then(() => void done.push(n));
        },
        () => idles++,
      );
      for (const n of waits.keys()) lane.push(n);
      while (!lane.isIdle) await Promise.resolve();
      expect(done).toEqual([...waits.keys()]);
      expect(idles > 0).toBe(waits.includes(true));
    }),
  );
});

test("work that does not wait is done before push returns", () => {
  const done: string[] = [];
  const lane = new Lane<string>(
    (item) => void done.push(item),
    () => {},
  );
  lane.push("a");
  expect(done).toEqual(["a"]);
  expect(lane.isIdle).toBe(true);
});

test("one lane does not wait for another", () => {
  const done: string[] = [];
  const stuck = new Lane<string>(
    () => new Promise<void>(() => {}),
    () => {},
  );
  const free = new Lane<string>(
    (item) => void done.push(item),
    () => {},
  );
  stuck.push("a");
  stuck.push("b");
  free.push("c");
  expect([stuck.waiting, done]).toEqual([1, ["c"]]);
});
