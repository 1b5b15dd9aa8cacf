/** Random histories of the sync on a real stack: fewer than in sync/simulation.test.ts, with everything that is simulated there. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { anyStackHistory } from "./testing/histories/any-stack-history.ts";
import { StackWorld } from "./testing/histories/stack-world.node.ts";

// A seed gives the same steps; what they meet on the way is the machine's affair.
const histories = Number(process.env["SYNC_STACK_HISTORIES"] ?? 2);
const seed = Number(process.env["SYNC_STACK_SEED"] ?? 20_261_128);

let world: StackWorld;
beforeAll(async () => {
  world = await StackWorld.start();
});
afterAll(() => world?.close());

test(`after quiet all machines equal the server, and nothing acknowledged is lost (SYNC_STACK_SEED=${seed})`, async () => {
  let acknowledged = 0;
  await fc.assert(
    fc.asyncProperty(anyStackHistory, async (history) => {
      const outcome = await world.live(history);
      acknowledged += outcome.acknowledged;
      expect(outcome.wrong).toEqual([]);
    }),
    { numRuns: histories, seed, endOnFailure: true },
  );
  expect(acknowledged).toBeGreaterThan(histories);
}, 3_600_000);
