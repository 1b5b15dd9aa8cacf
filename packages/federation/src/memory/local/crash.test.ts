import { expect, test } from "vitest";
import { generator } from "../testing/crash/crash-rows.node.ts";
import { runCrashTrial, type IdFacts } from "../testing/crash/crash-trial.node.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();

// A share of `npm run proof:crash`; the seed is fixed so that a failure can be run again.
test.each(["process", "power"] as const)(
  "a process killed while it writes loses nothing acknowledged under %s, and leaves nothing half-written",
  { timeout: 240_000 },
  async (durability) => {
    const seed = durability === "power" ? 7_000 : 1_000;
    const random = generator(seed);
    const ids = new Map<string, IdFacts>();
    for (let trial = 0; trial < 5; trial++) {
      const result = await runCrashTrial({
        dataDir,
        store: `crash-${durability}`,
        seed: seed + trial,
        durability,
        acknowledgements: 1 + Math.floor(random() * 400),
        laterMs: 0,
        ids,
      });
      expect(result.wrong).toEqual([]);
      expect(result.acknowledged).toBeGreaterThan(0);
    }
  },
);
