import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FederationError } from "../../runtime/errors.ts";
import { afterTaken, afterTooMuch, firstBatchSize, type BatchLimits } from "./batch-size.ts";
import { admits, coverageOf, filterKeyOf } from "./coverage.ts";
import { decodePosition, encodePosition, startingPosition, type Position } from "./position.ts";
import { afterPushFailure, maxStrikes } from "./push-failure.ts";
import { parseRetryAfter, RetryAfterFetch, retryAfterMsOf } from "./retry-after.ts";
import { Rounds } from "./rounds.ts";
import { correctedOffset, ServerTime } from "./server-time.ts";
import { MemoryTenantStore } from "./testing/memory-tenant-store.ts";
import { SimClock } from "./testing/sim-clock.ts";
import { rowOf } from "./testing/sim-replica.ts";
import { WriteClock } from "./write-clock.ts";
import { compareHlc } from "./hlc.ts";

const limits: BatchLimits = {
  first: { maxRows: 100, maxBytes: 100_000 },
  most: { maxRows: 1_000, maxBytes: 1_000_000 },
};

describe("batches", () => {
  test("whatever the server takes, batches come near to it and stay within the limits", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), (serverTakes) => {
        let size = firstBatchSize(limits);
        let taken = 0;
        let refused = 0;
        for (let request = 0; request < 60; request++) {
          const rows = size.maxRows;
          if (rows > serverTakes) {
            size = afterTooMuch(size, rows);
            if (request >= 30) refused += 1;
          } else {
            size = afterTaken(size, { isFull: true, tookMs: 10 }, limits);
            if (request >= 30) taken += rows;
          }
          expect(size.maxRows).toBeGreaterThanOrEqual(1);
          expect(size.maxRows).toBeLessThanOrEqual(limits.most.maxRows);
          expect(size.maxBytes).toBeLessThanOrEqual(limits.most.maxBytes);
        }
        expect(refused).toBeLessThanOrEqual(15);
        expect(taken).toBeGreaterThanOrEqual(5 * serverTakes);
      }),
    );
  });

  test("a slow answer makes them smaller, a batch that was not full changes nothing", () => {
    const size = firstBatchSize(limits);
    expect(afterTaken(size, { isFull: true, tookMs: 4_000 }, limits).maxRows).toBe(50);
    expect(afterTaken(size, { isFull: false, tookMs: 10 }, limits)).toEqual(size);
  });
});

describe("after a failed push", () => {
  const failed = (code: FederationError["code"], rows: number, strikes = 0): string =>
    afterPushFailure({ error: new FederationError(code, "no"), rows, strikes });

  test("what is wrong with rows is narrowed down to one, which is refused", () => {
    expect([failed("too_large", 2), failed("too_large", 1)]).toEqual(["smaller", "refuse"]);
    expect([failed("timeout", 2), failed("timeout", 1)]).toEqual(["smaller_later", "later"]);
    expect(failed("timeout", 1, maxStrikes)).toBe("refuse");
  });

  test("what says nothing of the rows refuses none, however often", () => {
    for (const code of ["unreachable", "busy", "unauthorized", "forbidden", "schema_missing"] as const)
      expect(failed(code, 1, 1_000)).toBe("later");
    expect(afterPushFailure({ error: new TypeError("a bug"), rows: 1, strikes: 99 })).toBe("later");
  });
});

describe("where pulling begins", () => {
  const live: Position = { phase: "live", cursor: "1:5:9", filterKey: "all" };

  test("a position comes back as it was kept", () => {
    const positions: Position[] = [
      live,
      { phase: "loading", cursor: undefined, sinceMs: undefined, filterKey: "all" },
      { phase: "loading", cursor: "1:2:3", sinceMs: 4, filterKey: "all" },
      { phase: "comparing", filterKey: "all" },
    ];
    for (const position of positions) expect(decodePosition(encodePosition(position))).toEqual(position);
    expect(decodePosition("1:5:9")).toBeUndefined();
  });

  test("at what was told, and with everything where the filter is another one", () => {
    const kept = encodePosition(live);
    expect(startingPosition(undefined, undefined, "all")).toMatchObject({ phase: "loading" });
    const told = { cursor: "1:4:2", atMs: 9 };
    expect(startingPosition(kept, told, "all")).toEqual({ ...live, cursor: "1:4:2" });
    expect(startingPosition(kept, told, "other")).toEqual({
      phase: "comparing",
      filterKey: "other",
      sinceMs: 9,
    });
    expect(startingPosition(kept, undefined, "other")).toEqual({ phase: "comparing", filterKey: "other" });
    expect(startingPosition("nonsense", undefined, "all")).toMatchObject({ phase: "comparing" });
  });

  test("with everything where a first page was taken and its cursor is not kept", () => {
    const firstPage = { phase: "loading", cursor: undefined, sinceMs: 7, filterKey: "all" } as const;
    const next = startingPosition(encodePosition({ ...firstPage, cursor: "1:5:9" }), undefined, "all");
    expect(next).toEqual({ ...firstPage, cursor: "1:5:9" });
    const again = startingPosition(encodePosition(firstPage), undefined, "all");
    expect(again).toEqual({ phase: "comparing", sinceMs: 7, filterKey: "all" });
  });
});

describe("coverage", () => {
  const hlc = { ms: 1, counter: 0, writer: "a" };
  const row = rowOf({ id: "m", agent: "a", kind: "put", content: "", nowMs: 5_000, version: 1, hlc });

  test("a filter admits what all of its parts admit", () => {
    expect(admits({}, row)).toBe(true);
    expect(admits({ agents: ["a", "b"], since: "1970-01-01T00:00:05Z" }, row)).toBe(true);
    expect(admits({ agents: ["b"] }, row)).toBe(false);
    expect(admits({ sessions: ["s"] }, row)).toBe(false);
    expect(admits({ since: "1970-01-01T00:00:05.001Z" }, row)).toBe(false);
  });

  test("a search is covered where all that it admits is held", () => {
    const at = (ms: number): string => new Date(ms).toISOString();
    const held = { isLoaded: true, filter: {}, floorMs: undefined };
    expect(coverageOf(held)).toBe("all");
    expect(coverageOf({ ...held, isLoaded: false })).toBe("loading");
    expect(coverageOf({ ...held, floorMs: 500 })).toBe("limited");
    expect(coverageOf({ ...held, floorMs: 500 }, { since: at(500) })).toBe("all");
    const filter = { agents: ["a"], since: at(100) };
    expect(coverageOf({ ...held, filter }, { agent: "a" })).toBe("filtered");
    expect(coverageOf({ ...held, filter }, { agent: "a", since: at(100) })).toBe("all");
    expect(coverageOf({ ...held, filter: { sessions: ["s"] } }, { session: "s" })).toBe("all");
  });

  test("filters that admit the same have one key", () => {
    expect(filterKeyOf({ agents: ["b", "a", "a"] }, 5)).toBe(filterKeyOf({ agents: ["a", "b"] }, 5));
    expect(filterKeyOf({ agents: ["a"] }, 5)).not.toBe(filterKeyOf({ sessions: ["a"] }, 5));
    expect(filterKeyOf({}, 5)).not.toBe(filterKeyOf({}, 6));
  });
});

describe("Retry-After", () => {
  test("is seconds or a date, and nothing else", () => {
    const nowMs = Date.parse("2026-01-01T00:00:00Z");
    expect(parseRetryAfter("120", nowMs)).toBe(120_000);
    expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", nowMs)).toBe(30_000);
    expect(parseRetryAfter("Thu, 01 Jan 2025 00:00:00 GMT", nowMs)).toBe(0);
    for (const text of [null, "", "-5", "soon", "1.5"]) expect(parseRetryAfter(text, nowMs)).toBeUndefined();
  });

  test("is noted from answers that say to come back later", async () => {
    const clock = new SimClock();
    let status = 200;
    const answer = (): Promise<Response> =>
      Promise.resolve(new Response("", { status, headers: { "retry-after": "7" } }));
    const noted = new RetryAfterFetch(answer, clock);
    await noted.fetch("http://localhost/");
    expect(noted.retryAfterMs()).toBeUndefined();
    status = 429;
    await noted.fetch("http://localhost/");
    expect(noted.retryAfterMs()).toBe(7_000);
    await clock.run(7_000);
    expect(noted.retryAfterMs()).toBeUndefined();
    expect(retryAfterMsOf(new Error("x", { cause: { retryAfterMs: 5 } }))).toBe(5);
    expect(retryAfterMsOf(new Error("x"))).toBeUndefined();
  });
});

describe("the server's time", () => {
  test("is within what an answer allows, and moves no further than that", () => {
    const sample = fc.record({
      trueOffset: fc.integer({ min: -10_000, max: 10_000 }),
      wayThere: fc.nat({ max: 5_000 }),
      wayBack: fc.nat({ max: 5_000 }),
      before: fc.integer({ min: -20_000, max: 20_000 }),
    });
    fc.assert(
      fc.property(sample, ({ trueOffset, wayThere, wayBack, before }) => {
        const askedMs = 1_000_000;
        const answeredMs = askedMs + wayThere + wayBack;
        const serverTimeMs = askedMs + wayThere + trueOffset;
        const after = correctedOffset(before, { serverTimeMs, askedMs, answeredMs });
        expect(Math.abs(after - trueOffset)).toBeLessThanOrEqual(wayThere + wayBack);
        expect(Math.abs(after - trueOffset)).toBeLessThanOrEqual(Math.abs(before - trueOffset));
      }),
    );
  });

  test("does not go back with this machine's clock, and is remembered", async () => {
    let localMs = 1_000_000;
    const store = new MemoryTenantStore();
    const clock = { now: () => localMs, after: () => () => undefined };
    const time = new ServerTime(clock, store);
    await time.learn({ serverTimeMs: 1_005_000, askedMs: localMs, answeredMs: localMs });
    expect(time.now()).toBe(1_005_000);
    localMs -= 600_000;
    expect(time.now()).toBe(1_005_000);
    localMs += 5;
    expect(time.now()).toBe(1_005_005);
    expect(new ServerTime({ ...clock, now: () => 2_000_000 }, store).now()).toBe(2_005_000);
  });
});

describe("the clock of writes", () => {
  const ahead = { ms: 9_000_000, counter: 0, writer: "z" };

  test("a restart never goes back, whatever the time of day is then", async () => {
    const store = new MemoryTenantStore();
    const parts = { facts: store, writer: "a/1", log: () => undefined };
    const before = new WriteClock({ ...parts, time: { now: () => 5_000_000, isKnown: true } });
    const last = [before.stamp(), before.stamp(), before.stamp()].at(-1)!;
    await Promise.resolve();
    const after = new WriteClock({ ...parts, writer: "a/2", time: { now: () => 1_000, isKnown: false } });
    expect(compareHlc(after.stamp(), last)).toBeGreaterThan(0);
  });

  test("a write is later than what it replaces, unless that is known to be out of bounds", () => {
    const parts = { facts: new MemoryTenantStore(), writer: "a/1", log: () => undefined };
    const unsure = new WriteClock({ ...parts, time: { now: () => 5_000_000, isKnown: false } });
    expect(compareHlc(unsure.stamp(ahead), ahead)).toBeGreaterThan(0);
    const sure = new WriteClock({ ...parts, time: { now: () => 5_000_000, isKnown: true } });
    expect(sure.stamp(ahead).ms).toBe(5_000_000);
  });
});

test("rounds go on when the time of day is put back by hours", async () => {
  const clock = new SimClock();
  let backMs = 0;
  let rounds = 0;
  const jumping = { now: () => clock.now() - backMs, after: clock.after.bind(clock) };
  const looping = new Rounds({
    clock: jumping,
    random: () => 0.5,
    backoff: { minMs: 100, maxMs: 1_000 },
    intervalMs: 1_000,
    round: () => Promise.resolve((rounds += 1)),
    onFailure: () => undefined,
  });
  const stop = new AbortController();
  const running = looping.run(stop.signal);
  await clock.run(2_500);
  expect(rounds).toBe(3);
  backMs = 18_000_000;
  await clock.run(3_000);
  expect(rounds).toBe(6);
  stop.abort();
  await running;
  expect(clock.pending).toBe(0);
});
