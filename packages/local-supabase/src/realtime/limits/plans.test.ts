import { expect, test } from "vitest";
import { plans, readLimits, type LimitsOption } from "./plans.ts";

test("a plan is its figures, off is none, an object is itself", () => {
  expect(readLimits("off")).toEqual({ figures: undefined });
  expect(readLimits("free")).toEqual({ figures: plans.free });
  expect(readLimits({ joinsPerSecond: 3 })).toEqual({ figures: { joinsPerSecond: 3 } });
});

test("what cannot be meant is said", () => {
  const wrong: unknown[] = ["gold", "toString", { joins: 1 }, { joinsPerSecond: 0 }, { connections: 1.5 }];
  for (const option of wrong) {
    // The type forbids them; JavaScript does not.
    expect(readLimits(option as LimitsOption)).toHaveProperty("problem");
  }
});
