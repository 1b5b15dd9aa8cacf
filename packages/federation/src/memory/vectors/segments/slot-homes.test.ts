import fc from "fast-check";
import { expect, test } from "vitest";
import { nowhere, SlotHomes, tail } from "./slot-homes.ts";
import { union } from "./union.ts";

test("homes are what was put last, and the list of the tail misses nothing", () => {
  const anyStep = fc.oneof(
    fc.record({ slot: fc.nat(3000), home: fc.constantFrom(nowhere, 1, 2, tail, tail) }),
    fc.constant("list" as const),
  );
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 200 }), (steps) => {
      const homes = new SlotHomes();
      const model = new Map<number, number>();
      const slotsIn = (home: number): number[] =>
        [...model]
          .filter(([, is]) => is === home)
          .map(([slot]) => slot)
          .toSorted((a, b) => a - b);
      for (const step of [...steps, "list" as const]) {
        if (step !== "list") {
          homes.put(step.slot, step.home);
          model.set(step.slot, step.home);
          continue;
        }
        const listed = [...homes.tailSlots()];
        expect(listed).toEqual([...new Set(listed)].toSorted((a, b) => a - b));
        expect(listed).toEqual(expect.arrayContaining(slotsIn(tail)));
        expect(homes.count(tail)).toBe(slotsIn(tail).length);
        expect([...homes.slotsOf([1, tail])]).toEqual(
          [...slotsIn(1), ...slotsIn(tail)].toSorted((a, b) => a - b),
        );
      }
      for (const [slot, home] of model) expect(homes.get(slot)).toBe(home);
    }),
  );
});

test("a list that is mostly out of date is made anew", () => {
  const homes = new SlotHomes();
  for (let slot = 0; slot < 5000; slot++) homes.put(slot, tail);
  for (let slot = 0; slot < 4990; slot++) homes.put(slot, 1);
  expect([...homes.tailSlots()]).toEqual([4990, 4991, 4992, 4993, 4994, 4995, 4996, 4997, 4998, 4999]);
});

test("a union has every number once, ascending", () => {
  const anyList = fc
    .uniqueArray(fc.nat(60), { maxLength: 40 })
    .map((list) => Uint32Array.from(list).toSorted());
  fc.assert(
    fc.property(anyList, anyList, (a, b) => {
      expect([...union(a, b)]).toEqual([...new Set([...a, ...b])].toSorted((x, y) => x - y));
    }),
  );
});
