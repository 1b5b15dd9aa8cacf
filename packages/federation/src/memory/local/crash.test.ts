import { expect, test } from "vitest";
import { generator } from "./testing/crash-rows.ts";
import { runCrashTrial } from "./testing/crash-trial.node.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();

// A share of the proof; the seed is fixed so that a failure can be run again.
test.each(["process", "power"] as const)(
  "a process killed while it writes loses nothing acknowledged under %s, and leaves nothing half-written",
  { timeout: 240_000 },
  async (durability) => {
    const seed = durability === "power" ? 7_000 : 1_000;
    const random = generator(seed);
    const held = new Map<string, number>();
    for (let trial = 0; trial < 12; trial++) {
      const result = await runCrashTrial({
        dataDir,
        store: `crash-${durability}`,
        seed: seed + trial,
        durability,
        acknowledgements: 1 + Math.floor(random() * 400),
        held,
      });
      expect(result.wrong).toEqual([]);
      expect(result.acknowledged).toBeGreaterThan(0);
    }
  },
);
