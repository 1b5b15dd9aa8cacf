import { expect, test } from "vitest";
import { proveCrashes } from "../testing/crash/crash-proof.node.ts";
import { startStack } from "../testing/start-stack.node.ts";

// A share of `npm run proof:crash`, which kills a thousand times and more.
test(
  "a process killed while it syncs loses nothing, and the database has what had left the outbox",
  { timeout: 240_000 },
  async () => {
    await using stack = await startStack();
    const sum = await proveCrashes({ trials: 3, seed: 4, lanes: 1, stack });
    expect(sum.wrong).toEqual([]);
    expect(sum).toMatchObject({ trials: 3, synced: 3 });
    expect(sum.acknowledged).toBeGreaterThan(3);
  },
);
