import fc from "fast-check";
import { expect, test } from "vitest";
import { fuseRanks } from "./fusion.ts";

const list = fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 12 });

test("the score of a key is the sum of 1 / (60 + place) over the lists that have it", () => {
  expect(fuseRanks([["a", "b"], ["b"]])).toEqual([
    { key: "b", score: 1 / 62 + 1 / 61 },
    { key: "a", score: 1 / 61 },
  ]);
});

test("every key comes once, best first, and one list alone keeps its order", () => {
  fc.assert(
    fc.property(fc.array(list, { maxLength: 3 }), (lists) => {
      const fused = fuseRanks(lists);
      expect(new Set(fused.map((each) => each.key))).toEqual(new Set(lists.flat()));
      expect(fused).toHaveLength(new Set(lists.flat()).size);
      const scores = fused.map((each) => each.score);
      expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    }),
  );
  fc.assert(
    fc.property(list, (one) => {
      expect(fuseRanks([one, []]).map((each) => each.key)).toEqual(one);
    }),
  );
});
