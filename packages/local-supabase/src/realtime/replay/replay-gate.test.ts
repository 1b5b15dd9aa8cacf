import fc from "fast-check";
import { expect, test } from "vitest";
import { ReplayGate } from "./replay-gate.ts";

test("whenever the gate opens, each live message comes once, in order, unless it was replayed", () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 20 }), { maxLength: 20 });
  fc.assert(
    fc.property(numbers, numbers, fc.integer({ min: 0, max: 20 }), (live, replayed, openAfter) => {
      const gate = new ReplayGate();
      const got: number[] = [];
      const deliver = (frame: Buffer): void => void got.push(frame[0] ?? -1);
      const open = (): void => gate.open(replayed.map(metaOf), deliver);
      for (const [i, n] of live.entries()) {
        if (i === openAfter) open();
        if (!gate.stops(Buffer.of(n), "broadcast", metaOf(n))) deliver(Buffer.of(n));
      }
      if (live.length <= openAfter) open();
      expect(got).toEqual(live.filter((n) => !replayed.includes(n)));
    }),
  );
});

test("what was never stored is never taken for something replayed", () => {
  const gate = new ReplayGate();
  const got: string[] = [];
  gate.stops(Buffer.of(1), "presence", "");
  gate.open([metaOf(1)], (_frame, kind) => void got.push(kind));
  expect([got, gate.stops(Buffer.of(2), "broadcast", "")]).toEqual([["presence"], false]);
});

function metaOf(n: number): string {
  return JSON.stringify({ id: n });
}
