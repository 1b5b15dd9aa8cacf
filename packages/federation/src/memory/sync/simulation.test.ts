import fc from "fast-check";
import { expect, test } from "vitest";
import { anyHistory } from "./testing/any-history.ts";
import { simulate, type History } from "./testing/simulation.ts";

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

// What random histories came to, shrunk.
const fair = { lost: 0, repeated: 0, busy: 0, deadly: 0, slowMs: 20 };

test("a restored backup that is from before a mark is told", async () => {
  const history: History = {
    seed: 0,
    dropsSame: false,
    weather: fair,
    steps: [
      { does: "write", who: 0, key: 1, kind: "private" },
      { does: "wait", ms: 64 },
      { does: "new epoch", restores: false },
      { does: "mark", key: 1 },
      { does: "wait", ms: 60 },
      { does: "new epoch", restores: true },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a process that dies while it replaces a row leaves its end to the next one", async () => {
  const history: History = {
    seed: 81_362_942,
    dropsSame: false,
    weather: { ...fair, slowMs: 300 },
    steps: [
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 1_140 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 423 },
      { does: "write", who: 1, key: 0, kind: "refused" },
      { does: "write", who: 1, key: 1, kind: "put" },
      { does: "wait", ms: 985 },
      { does: "crash", who: 1, ms: 0 },
      { does: "new epoch", restores: true },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});
