import { expect, test } from "vitest";
import { applyLoad } from "./load.ts";

test("as many at once as asked for, never more, and one sample per request after the warm-up", async () => {
  let running = 0;
  let most = 0;
  const seen: number[] = [];
  const { samplesMs } = await applyLoad(
    { concurrency: 4, warmUp: 3, maxRequests: 20, maxMs: 60_000 },
    async (index) => {
      seen.push(index);
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    },
  );
  expect(most).toBe(4);
  expect(seen).toEqual(Array.from({ length: 23 }, (_, index) => index));
  expect(samplesMs).toHaveLength(20);
});

test("the loop ends when its time is over", async () => {
  const { samplesMs } = await applyLoad(
    { concurrency: 1, warmUp: 0, maxRequests: 20, maxMs: 0 },
    async () => undefined,
  );
  expect(samplesMs).toEqual([]);
});

test("a failing request fails the run", async () => {
  const load = { concurrency: 2, warmUp: 0, maxRequests: 20, maxMs: 60_000 };
  await expect(applyLoad(load, () => Promise.reject(new Error("403")))).rejects.toThrow("403");
});
