import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { systemClock } from "./system-clock.ts";

test("a wait calls once, and not when it was cancelled", async () => {
  const called: string[] = [];
  const cancel = systemClock.after(0, () => called.push("cancelled"));
  cancel();
  cancel();
  await new Promise<void>((resolve) => systemClock.after(0, resolve));
  expect(called).toEqual([]);
});

test("cancelled waits of many lengths leave nothing behind", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void; // there since the flag is set
  const heapBytes = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const waitAndCancel = (from: number): void => {
    for (let ms = from; ms < from + 40_000; ms++) systemClock.after(ms, () => {})();
  };
  waitAndCancel(3_000_000); // compiles
  const before = heapBytes();
  waitAndCancel(3_100_000);
  expect(heapBytes() - before).toBeLessThan(2_000_000); // 6 MB where lists stay
});
