import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeSegment, parseSegment, type SegmentFacts } from "./segment-codec.node.ts";

const anyFacts: fc.Arbitrary<SegmentFacts> = fc.record({
  dimensions: fc.integer({ min: 1, max: 4096 }),
  rows: fc.nat(),
  graphBytes: fc.maxSafeNat(),
  graphSum: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  firstSlot: fc.nat(),
  hashes: fc.uint32Array({ maxLength: 30 }),
});

test("what is written is read", () => {
  fc.assert(
    fc.property(anyFacts, (facts) => {
      const read = parseSegment(encodeSegment(facts));
      expect({ ...read, graphSum: [...(read?.graphSum ?? [])], hashes: [...(read?.hashes ?? [])] }).toEqual({
        ...facts,
        graphSum: [...facts.graphSum],
        hashes: [...facts.hashes],
      });
    }),
  );
});

test("one changed bit, or a missing end, is noticed", () => {
  fc.assert(
    fc.property(anyFacts, fc.nat(), fc.nat(7), (facts, place, bit) => {
      const bytes = encodeSegment(facts);
      expect(parseSegment(bytes.subarray(0, place % bytes.length))).toBeUndefined();
      const at = place % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      expect(parseSegment(bytes)).toBeUndefined();
    }),
  );
});
