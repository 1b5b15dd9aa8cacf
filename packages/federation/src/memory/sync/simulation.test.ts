import fc from "fast-check";
import { expect, test } from "vitest";
import { anyHistory } from "./testing/any-history.ts";
import { simulate, type History } from "./testing/simulation.ts";

// The same ones each time; `npm run proof:sync` looks for others by the thousand, and SYNC_SEED replays them.
const histories = Number(process.env["SYNC_HISTORIES"] ?? 300);
const seed = Number(process.env["SYNC_SEED"] ?? 20_261_127);

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

test("a write of its own that a page left for the next one is told after a crash and another epoch", async () => {
  const history: History = {
    seed: 147_025_243,
    weather: { ...fair, lost: 0.2 },
    steps: [
      { does: "wait", ms: 68 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "write", who: 0, key: 3, kind: "put" },
      { does: "write", who: 2, key: 0, kind: "put" },
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "write", who: 0, key: 1, kind: "put" },
      { does: "write", who: 2, key: 3, kind: "put" },
      { does: "wait", ms: 727 },
      { does: "write", who: 1, key: 0, kind: "put" },
      { does: "wait", ms: 5_915 },
      { does: "wait", ms: 29 },
      { does: "write", who: 0, key: 3, kind: "put" },
      { does: "wait", ms: 24 },
      { does: "write", who: 1, key: 0, kind: "put" },
      { does: "new epoch", restores: false },
      { does: "wait", ms: 9_621 },
      { does: "crash", who: 0, ms: 15_421 },
      { does: "wait", ms: 10_538 },
      { does: "write", who: 1, key: 5, kind: "delete" },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a row is not read again while its refusal is still being written down", async () => {
  const history: History = {
    seed: -594822429,
    weather: {
      lost: 0,
      repeated: 0.36000000000000004,
      busy: 0.18000000000000002,
      deadly: 0.010000000000000002,
      slowMs: 20,
    },
    steps: [
      { does: "write", who: 1, key: 4, kind: "put" },
      { does: "write", who: 2, key: 0, kind: "put" },
      { does: "write", who: 2, key: 2, kind: "put" },
      { does: "wait", ms: 22 },
      { does: "write", who: 2, key: 5, kind: "put" },
      { does: "write", who: 0, key: 5, kind: "put" },
      { does: "write", who: 1, key: 4, kind: "put" },
      { does: "write", who: 2, key: 5, kind: "put" },
      { does: "wait", ms: 19219 },
      { does: "write", who: 1, key: 5, kind: "delete" },
      { does: "write", who: 0, key: 4, kind: "put" },
      { does: "wait", ms: 17976 },
      { does: "write", who: 2, key: 6, kind: "put" },
      { does: "write", who: 0, key: 5, kind: "put" },
      { does: "wait", ms: 54 },
      { does: "new machine", who: 0 },
      { does: "wait", ms: 10 },
      { does: "crash server", ms: 1769 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "crash", who: 0, ms: 0 },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a write of a clock that was put hours ahead does not lose to what it replaced", async () => {
  const history: History = {
    seed: 3,
    weather: { lost: 0, repeated: 0, busy: 0, deadly: 0, slowMs: 300 },
    steps: [
      { does: "set clock", who: 1, skewMs: 61000 },
      { does: "write", who: 1, key: 4, kind: "put" },
      { does: "wait", ms: 11816 },
      { does: "set clock", who: 1, skewMs: 18000000 },
      { does: "write", who: 1, key: 4, kind: "put" },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("what changes while everything is loaded is told", async () => {
  const history: History = {
    seed: 240255460,
    weather: { lost: 0.45, repeated: 0, busy: 0.04000000000000001, deadly: 0, slowMs: 20 },
    steps: [
      { does: "write", who: 0, key: 1, kind: "put" },
      { does: "write", who: 2, key: 2, kind: "put" },
      { does: "wait", ms: 10987 },
      { does: "write", who: 0, key: 3, kind: "put" },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "write", who: 1, key: 0, kind: "put" },
      { does: "wait", ms: 9 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "write", who: 2, key: 0, kind: "put" },
      { does: "wait", ms: 18013 },
      { does: "write", who: 1, key: 3, kind: "put" },
      { does: "new machine", who: 0 },
      { does: "write", who: 0, key: 0, kind: "delete" },
      { does: "write", who: 0, key: 0, kind: "delete" },
      { does: "new epoch", restores: false },
      { does: "write", who: 2, key: 3, kind: "put" },
      { does: "write", who: 0, key: 3, kind: "put" },
      { does: "wait", ms: 1 },
      { does: "write", who: 0, key: 4, kind: "put" },
      { does: "wait", ms: 60 },
      { does: "wait", ms: 8139 },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("what a page of the loading changed is told by the next process, where the one that took it ended too early", async () => {
  const history: History = {
    seed: -55277954,
    weather: { lost: 0.3, repeated: 0, busy: 0.13999999999999999, deadly: 0.010000000000000002, slowMs: 300 },
    steps: [
      { does: "wait", ms: 14211 },
      { does: "wait", ms: 17388 },
      { does: "crash server", ms: 17652 },
      { does: "wait", ms: 17 },
      { does: "wait", ms: 14777 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 34 },
      { does: "write", who: 0, key: 6, kind: "put" },
      { does: "write", who: 2, key: 3, kind: "put" },
      { does: "wait", ms: 8 },
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "write", who: 1, key: 0, kind: "put" },
      { does: "new epoch", restores: false },
      { does: "write", who: 2, key: 0, kind: "put" },
      { does: "wait", ms: 8239 },
      { does: "wait", ms: 11102 },
      { does: "write", who: 2, key: 1, kind: "put" },
      { does: "wait", ms: 17488 },
      { does: "write", who: 2, key: 4, kind: "put" },
      { does: "write", who: 1, key: 5, kind: "put" },
      { does: "wait", ms: 27 },
      { does: "wait", ms: 2405 },
      { does: "crash", who: 2, ms: 7 },
      { does: "wait", ms: 55 },
      { does: "new machine", who: 0 },
      { does: "wait", ms: 11432 },
      { does: "write", who: 1, key: 0, kind: "refused" },
      { does: "write", who: 0, key: 5, kind: "put" },
      { does: "wait", ms: 8222 },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("an older write that comes after the tombstone which it lost to is gone is taken by who made the tombstone, too", async () => {
  const history: History = {
    seed: 17,
    weather: { lost: 0.5, repeated: 0, busy: 0.13999999999999999, deadly: 0, slowMs: 300 },
    steps: [
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "write", who: 1, key: 2, kind: "private" },
      { does: "wait", ms: 5 },
      { does: "write", who: 0, key: 2, kind: "delete" },
      { does: "wait", ms: 17085 },
      { does: "wait", ms: 19986 },
      { does: "wait", ms: 17745 },
      { does: "wait", ms: 16229 },
      { does: "purge" },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a process that ended its own memory, and heard of another's under that id before it was refused, tells that one's end, too", async () => {
  const history: History = {
    seed: 2_835,
    weather: { ...fair, repeated: 0.4, busy: 0.16000000000000003, slowMs: 300 },
    steps: [
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "write", who: 2, key: 2, kind: "put" },
      { does: "wait", ms: 47 },
      { does: "write", who: 2, key: 2, kind: "delete" },
      { does: "wait", ms: 2_895 },
      { does: "crash", who: 2, ms: 0 },
      { does: "new epoch", restores: true },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a write that gave way to a later one is not brought again where a restored backup takes the later one back", async () => {
  const history: History = {
    seed: 7850,
    weather: { lost: 0.3, repeated: 0.4, busy: 0.16000000000000003, deadly: 0.08, slowMs: 300 },
    steps: [
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "write", who: 2, key: 2, kind: "put" },
      { does: "wait", ms: 47 },
      { does: "write", who: 2, key: 2, kind: "delete" },
      { does: "wait", ms: 1450 },
      { does: "new epoch", restores: true },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a write that waited while its clock was hours ahead is put right to later than what it replaced on the server", async () => {
  const history: History = {
    seed: 0,
    weather: fair,
    steps: [
      { does: "set clock", who: 2, skewMs: 50_000 },
      { does: "write", who: 2, key: 1, kind: "put" },
      { does: "wait", ms: 5_000 },
      { does: "set clock", who: 2, skewMs: 18_000_000 },
      { does: "write", who: 2, key: 1, kind: "put" },
      { does: "wait", ms: 20 },
      { does: "crash", who: 2, ms: 0 },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("what is read of the server counts for later writes also where this machine's readings were hours ahead", async () => {
  const history: History = {
    seed: 0,
    weather: { ...fair, lost: 0.05 },
    steps: [
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "set clock", who: 2, skewMs: 61_000 },
      { does: "write", who: 2, key: 1, kind: "put" },
      { does: "wait", ms: 5_284 },
      { does: "set clock", who: 2, skewMs: 18_000_000 },
      { does: "wait", ms: 30 },
      { does: "write", who: 2, key: 1, kind: "put" },
      { does: "crash", who: 2, ms: 0 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 60 },
      { does: "limit batches", maxRows: 1 },
      { does: "write", who: 2, key: 1, kind: "put" },
      { does: "write", who: 0, key: 0, kind: "put" },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a clock that is set while the first answer is on its way is not taken for right", async () => {
  const history: History = {
    seed: 806_352_324,
    weather: { ...fair, repeated: 0.12, slowMs: 300 },
    steps: [
      { does: "write", who: 0, key: 0, kind: "delete" },
      { does: "write", who: 0, key: 0, kind: "delete" },
      { does: "set clock", who: 2, skewMs: 61_000 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 16 },
      { does: "wait", ms: 44 },
      { does: "write", who: 2, key: 0, kind: "put" },
      { does: "write", who: 2, key: 0, kind: "put" },
      { does: "wait", ms: 7 },
      { does: "crash", who: 1, ms: 0 },
      { does: "purge" },
      { does: "crash", who: 0, ms: 153 },
      { does: "mark", key: 0 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 1 },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});
