import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Hlc } from "../memory-row.ts";
import cases from "./hlc-cases.json" with { type: "json" };
import { compareHlc, maxCounter, receive, tick, winnerOf } from "./hlc.ts";

const anyMs = fc.integer({ min: 1, max: 4_000_000_000_000 });
const anyTime = fc.oneof(anyMs, fc.double({ min: 1, max: 9, noNaN: true }));
const anyWriter = fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 });
const anyHlc: fc.Arbitrary<Hlc> = fc.record({
  ms: fc.oneof(anyMs, fc.integer({ min: 1, max: 3 })),
  counter: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(maxCounter)),
  writer: anyWriter,
});

describe("the cases that the database is held against as well", () => {
  test.each(cases)("$name", ({ held, incoming, wins }) => {
    expect(winnerOf(held, incoming)).toBe(wins);
    const mirrored = { held: "incoming", incoming: "held", same: "same" } as const;
    expect(winnerOf(incoming, held)).toBe(mirrored[wins as keyof typeof mirrored]); // the file has no other words
  });
});

test("clocks are in one order, the bytes of their writers last", () => {
  fc.assert(
    fc.property(anyHlc, anyHlc, anyHlc, (a, b, c) => {
      expect(Math.sign(compareHlc(a, b))).toBe(-Math.sign(compareHlc(b, a)) + 0);
      expect(compareHlc(a, a)).toBe(0);
      const [low, middle, high] = [a, b, c].toSorted(compareHlc);
      expect(compareHlc(low!, middle!)).toBeLessThanOrEqual(0);
      expect(compareHlc(low!, high!)).toBeLessThanOrEqual(0);
    }),
  );
  fc.assert(
    fc.property(anyWriter, anyWriter, (x, y) => {
      const order = compareHlc({ ms: 1, counter: 0, writer: x }, { ms: 1, counter: 0, writer: y });
      expect(Math.sign(order)).toBe(Buffer.compare(Buffer.from(x), Buffer.from(y)));
    }),
  );
});

test("a new write is later than the writer's last one, however the time of day moves", () => {
  fc.assert(
    fc.property(fc.array(anyTime, { minLength: 1 }), anyHlc, (times, first) => {
      let last = first;
      for (const nowMs of times) {
        const next = tick(nowMs, last);
        expect(compareHlc(next, last)).toBeGreaterThan(0);
        expect(next.ms).toBeGreaterThanOrEqual(Math.floor(nowMs));
        expect(Number.isInteger(next.ms)).toBe(true);
        expect(next.counter).toBeLessThanOrEqual(maxCounter);
        expect(next.writer).toBe(first.writer);
        last = next;
      }
    }),
  );
});

test("a write that answers another one is later than it, whatever the writers are called", () => {
  fc.assert(
    fc.property(anyMs, anyHlc, anyHlc, (nowMs, last, seen) => {
      const next = receive(nowMs, last, seen);
      expect(next.writer).toBe(last.writer);
      for (const before of [last, seen]) {
        expect(compareHlc(next, { ...before, writer: "\u{10ffff}".repeat(9) })).toBeGreaterThan(0);
      }
    }),
  );
});
