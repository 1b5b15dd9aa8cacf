import fc from "fast-check";
import { expect, test } from "vitest";
import { anyHistory } from "./testing/any-history.ts";
import { simulate } from "./testing/simulation.ts";

// A share of what `npm run proof:sync` runs thousands of; SYNC_SEED replays one.
const histories = Number(process.env["SYNC_HISTORIES"] ?? 300);
const seed = Number(process.env["SYNC_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

test(`after quiet all replicas equal the server, and nothing acknowledged is lost (seed ${seed})`, async () => {
  await fc.assert(
    fc.asyncProperty(anyHistory, async (history) => {
      expect((await simulate(history)).wrong).toEqual([]);
    }),
    { numRuns: histories, seed },
  );
}, 3_600_000);
