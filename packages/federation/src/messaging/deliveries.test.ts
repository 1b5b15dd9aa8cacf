import { expect, test } from "vitest";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { Deliveries } from "./deliveries.ts";
import type { CoordinationMessage } from "./message.ts";
import { failing } from "./testing/open-inbox.ts";

const message: CoordinationMessage = {
  id: "1",
  from_agent: "b",
  type: "note",
  payload: null,
  timestamp: "2026-01-01T00:00:00Z",
  verified: true,
  hop_count: 0,
};

/** When a message whose handlers always fail was delivered, in milliseconds, and what the database was told of each. */
async function failures(maxDeliveries: number, giveUpMs: number): Promise<[number, string][]> {
  const clock = new TestClock();
  const startMs = clock.now();
  const told: [number, string][] = [];
  let counted = 1;
  const deliveries = new Deliveries({
    clock,
    log: silentLog,
    maxDeliveries,
    giveUpMs,
    isMine: () => true,
    count: async ([id]) => [{ id, delivery_attempt: ++counted, dead: false }],
    undo: async () => {},
    fail: async (_id, _error, dead, attempts) =>
      void told.push([clock.now() - startMs, `${dead ? "dead" : "failed"} ${attempts}`]),
    handled: () => {},
    deliver: () => failing,
  });
  let isOver = false;
  const run = deliveries.run(message, undefined, new AbortController().signal).then(() => (isOver = true));
  while (!isOver) await clock.advance(100);
  await run;
  expect(clock.pending).toBe(0);
  return told;
}

test("handlers that fail are called again after 0.1, 0.2, 0.4 … seconds, as often as there are deliveries", async () => {
  expect(await failures(4, 60_000)).toEqual([
    [0, "failed 1"],
    [100, "failed 2"],
    [300, "failed 3"],
    [700, "dead 4"],
  ]);
});

test("a message is given up where the next delivery would come after the time for it", async () => {
  expect(await failures(1_000, 1_500)).toEqual([
    [0, "failed 1"],
    [100, "failed 2"],
    [300, "failed 3"],
    [700, "failed 4"],
    [1_500, "dead 5"],
  ]);
});

test("where the turn is lost while the next delivery is counted, it does not take place and is taken back", async () => {
  const clock = new TestClock();
  const said: string[] = [];
  let isMine = true;
  const deliveries = new Deliveries({
    clock,
    log: silentLog,
    maxDeliveries: 5,
    giveUpMs: 60_000,
    isMine: () => isMine,
    count: async ([id]) => {
      isMine = false;
      return [{ id, delivery_attempt: 2, dead: false }];
    },
    undo: async (ids) => void said.push(`undone ${ids.join()}`),
    fail: async (id) => void said.push(`failed ${id}`),
    handled: () => {},
    deliver: () => {
      said.push("delivered");
      return { ...failing, again: () => ({ ...failing, listeners: said.push("delivered again") }) };
    },
  });
  const run = deliveries.run(message, undefined, new AbortController().signal);
  await clock.advance(100);
  expect(await run).toBe(true);
  expect(said).toEqual(["delivered", "failed 1", "undone 1"]);
});
