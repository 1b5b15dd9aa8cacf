import fc from "fast-check";
import { expect, test } from "vitest";
import { WaitingRows, type WaitingRow } from "./waiting-rows.ts";

const facts = {
  agent: "a",
  session: null,
  model: null,
  state: "living",
  version: 1,
  hlc: { ms: 0, counter: 0, writer: "w" },
  createdMicros: 0,
  endMicros: Infinity,
} as const;
const encoded = { json: new Uint8Array(), vector: undefined, sizeBytes: 0 };

/** Ids that lie in one part of the rows and in several, short ones too; slots in one list and far apart. */
const places = [
  { id: "a", slot: 0 },
  { id: "b", slot: 1 },
  { id: "ab", slot: 1_023 },
  { id: "memory-00000001", slot: 1_024 },
  { id: "memory-00000002", slot: 1_025 },
  { id: "other-00000002", slot: 70_000_000 },
] as const;

const anyStep = fc.record({
  at: fc.nat(places.length - 1),
  what: fc.constantFrom("put", "remove", "drop", "drop the one before"),
});

test("the newest of each id and slot is found until the tables have it", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      const waiting = new WaitingRows();
      const model = new Map<string, WaitingRow>();
      for (const [sequence, { at, what }] of steps.entries()) {
        const { id, slot } = places[at]!; // within its length
        if (what === "put" || what === "remove") {
          const change = what === "put" ? ({ kind: "put", id, facts, encoded } as const) : { kind: what, id };
          const row = { slot, sequence, change } as const;
          waiting.add(row);
          model.set(id, row);
        } else {
          const newest = model.get(id)?.sequence ?? 0;
          waiting.drop(id, slot, what === "drop" ? newest : newest - 1);
          if (what === "drop") model.delete(id);
        }
      }
      for (const { id, slot } of places) {
        expect(waiting.ofId(id)).toBe(model.get(id));
        expect(waiting.atSlot(slot)).toBe(model.get(id));
      }
      expect(new Set(waiting.ids())).toEqual(new Set(model.keys()));
      expect(new Set(waiting.all())).toEqual(new Set(model.values()));
    }),
  );
});
