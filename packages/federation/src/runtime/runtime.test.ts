import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffMs } from "./backoff.ts";
import { sleep, withDeadline } from "./clock.ts";
import { FederationError, isFederationError, isRetryable, toFederationError } from "./errors.ts";
import { newId } from "./ids.ts";
import { toJson } from "./json.ts";
import { Scope } from "./scope.ts";
import { TestClock } from "./testing/test-clock.ts";

test("a back-off stays between half its minimum and its maximum and does not fall with the attempts", () => {
  const arbitrary = fc.record({
    min: fc.integer({ min: 1, max: 5000 }),
    extra: fc.nat(60_000),
    attempt: fc.integer({ min: 1, max: 99 }),
  });
  fc.assert(
    fc.property(
      arbitrary,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      ({ min, extra, attempt }, random) => {
        const backoff = { minMs: min, maxMs: min + extra };
        const wait = backoffMs(attempt, backoff, () => random);
        expect(wait).toBeGreaterThanOrEqual(min / 2);
        expect(wait).toBeLessThanOrEqual(backoff.maxMs);
        expect(backoffMs(attempt + 1, backoff, () => random)).toBeGreaterThanOrEqual(wait);
      },
    ),
  );
  expect(() => backoffMs(1, { minMs: 5, maxMs: 1 }, () => 0)).toThrow(
    "expected 0 < minMs <= maxMs, got minMs=5 maxMs=1",
  );
});

test("a federation error is known by name and code, also from another copy of the package", () => {
  const error = new FederationError("timeout", "join: no reply", { remedy: "Look at the network" });
  expect(error.message).toBe("join: no reply. Look at the network");
  expect(isFederationError(error, "timeout")).toBe(true);
  expect(isFederationError(error, "closed")).toBe(false);
  const copy = Object.assign(new Error("x"), { name: "FederationError", code: "timeout" });
  expect(isFederationError(copy, "timeout")).toBe(true);
  expect(isFederationError(new Error("x"))).toBe(false);
  expect(isRetryable(error)).toBe(true);
  expect(isRetryable(new FederationError("forbidden", "no"))).toBe(false);
  expect(toFederationError(error, "server", "again")).toBe(error);
  expect(toFederationError("boom", "server", "again")).toMatchObject({
    code: "server",
    message: "again: boom",
  });
});

test("sleep ends when time is up, or with the reason of its signal", async () => {
  const clock = new TestClock();
  let isOver = false;
  const over = sleep(clock, 100).then(() => (isOver = true));
  await clock.advance(99);
  expect(isOver).toBe(false);
  await clock.advance(1);
  await over;
  const controller = new AbortController();
  const stopped = sleep(clock, 100, controller.signal);
  controller.abort(new Error("stop"));
  await expect(stopped).rejects.toThrow("stop");
  expect(clock.pending).toBe(0);
});

test("a deadline gives up on a task that hangs and tells it so", async () => {
  const clock = new TestClock();
  let seen: AbortSignal | undefined;
  const hanging = withDeadline(
    (signal) => {
      seen = signal;
      return new Promise<never>(() => {});
    },
    { clock, ms: 50, error: () => new FederationError("timeout", "too late") },
  );
  const outcome = expect(hanging).rejects.toThrow("too late");
  await clock.advance(50);
  await outcome;
  expect(seen?.aborted).toBe(true);
  expect(await withDeadline(async () => 7, { clock, ms: 50, error: () => new Error("never") })).toBe(7);
  expect(clock.pending).toBe(0);
});

test("a scope stops its tasks, waits for them, then cleans up newest first and reports what failed", async () => {
  const steps: string[] = [];
  const errors: string[] = [];
  const scope = new Scope((error) => errors.push(error.message));
  scope.defer(() => void steps.push("first deferred"));
  scope.defer(() => {
    throw new Error("bad clean-up");
  });
  scope.defer(() => void steps.push("last deferred"));
  scope.run(async (signal) => {
    await sleep({ now: () => 0, after: () => () => {} }, 1, signal).catch(() => steps.push("task stopped"));
  });
  const closing = scope.close();
  expect(scope.close()).toBe(closing);
  await closing;
  expect(steps).toEqual(["task stopped", "last deferred", "first deferred"]);
  expect(errors).toEqual(["bad clean-up"]);
});

test("a task that fails by itself is reported", async () => {
  const errors: string[] = [];
  const scope = new Scope((error) => errors.push(error.message));
  scope.run(() => Promise.reject(new Error("broke")));
  await new Promise((resolve) => setImmediate(resolve));
  expect(errors).toEqual(["broke"]);
  await scope.close();
});

test("an id is a UUID, with or without crypto.randomUUID", () => {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  expect(newId()).toMatch(uuid);
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true }); // shadows the prototype's
  try {
    expect(newId()).toMatch(uuid);
  } finally {
    Reflect.deleteProperty(crypto, "randomUUID");
  }
});

test("any JSON value goes through toJson unchanged, with its size", () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const result = toJson(value, "value");
      expect(result.value).toEqual(JSON.parse(JSON.stringify(value)));
      expect(result.sizeBytes).toBe(Buffer.byteLength(JSON.stringify(value)));
    }),
  );
});

test.each([
  ["undefined", undefined],
  ["a function", { run: () => 1 }],
  ["a bigint", { n: 1n }],
  ["a number that is not finite", [Number.NaN]],
  ["a symbol", Symbol("s")],
])("toJson refuses %s", (_name, value) => {
  expect(() => toJson(value, "payload")).toThrow(/payload cannot be sent as JSON/);
});

test("toJson refuses a cycle", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;
  expect(() => toJson(cycle, "payload")).toThrow(/payload cannot be sent as JSON/);
});
