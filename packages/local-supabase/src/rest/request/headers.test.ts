import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RestError } from "../errors/rest-error.ts";
import { negotiate } from "./media-type.ts";
import { parsePreferences, preferenceApplied } from "./preferences.ts";
import type { Window } from "./query-string.ts";
import { contentRange, topWindow } from "./range.ts";

describe("Accept", () => {
  test.each([
    [undefined, "array", false],
    ["*/*", "array", false],
    ["application/json", "array", false],
    ["Application/Vnd.Pgrst.Object+JSON", "object", false],
    ["application/vnd.pgrst.object", "object", false],
    ["application/vnd.pgrst.object+json;nulls=stripped", "object", true],
    ["application/vnd.pgrst.array+json; nulls=stripped", "array", true],
    ["text/csv;q=1, application/vnd.pgrst.object+json;q=0.2, application/json;q=0.1", "object", false],
  ])("%s", (accept, shape, stripNulls) => {
    expect(negotiate(accept, true)).toMatchObject({ shape, stripNulls, plan: undefined });
  });

  test("a plan, of what it would answer otherwise, with its options", () => {
    const accept =
      'application/vnd.pgrst.plan+json; for="application/vnd.pgrst.object+json"; options=analyze|verbose|nonsense;';
    expect(negotiate(accept, true)).toMatchObject({
      shape: "object",
      plan: { format: "json", options: ["analyze", "verbose"] },
    });
  });

  test.each(["text/csv", "application/geo+json", 'application/vnd.pgrst.plan; for="text/csv"', "image/png"])(
    "%s is refused",
    (accept) => {
      expect(() => negotiate(accept, true)).toThrow(RestError);
    },
  );
});

describe("Prefer", () => {
  test("the first of each kind counts, what nobody knows is kept apart", () => {
    expect(
      parsePreferences(
        "return=minimal, count=exact,return=representation, max-affected=5, timezone=UTC, what=ever",
        true,
      ),
    ).toEqual({
      resolution: undefined,
      representation: "minimal",
      count: "exact",
      transaction: undefined,
      missing: undefined,
      handling: undefined,
      timezone: "UTC",
      maxAffected: 5,
      invalid: ["what=ever"],
    });
  });

  test("what was applied is what could be", () => {
    const preferences = parsePreferences(
      "return=minimal, resolution=merge-duplicates, count=exact, max-affected=1",
      true,
    );
    expect(preferenceApplied(preferences, "read")).toBe("count=exact");
    expect(preferenceApplied(preferences, "insert")).toBe(
      "resolution=merge-duplicates, return=minimal, count=exact",
    );
    expect(preferenceApplied(parsePreferences("handling=strict, max-affected=1", true), "delete")).toBe(
      "handling=strict, max-affected=1",
    );
    expect(preferenceApplied(parsePreferences(undefined, true), "read")).toBeUndefined();
  });
});

test("plans and rollbacks are for those who switched them on", () => {
  expect(() => negotiate("application/vnd.pgrst.plan+json", false)).toThrow(RestError);
  expect(negotiate("application/vnd.pgrst.plan, application/json;q=0.5", false).plan).toBeUndefined();
  const preferences = parsePreferences("tx=rollback", false);
  expect(preferences).toMatchObject({ transaction: undefined, invalid: [] });
  expect(preferenceApplied(preferences, "insert")).toBeUndefined();
});

describe("limit, offset and Range together", () => {
  const rows = ({ limit, offset }: Window): readonly number[] =>
    Array.from({ length: 40 }, (_, at) => at).slice(offset, limit === undefined ? undefined : offset + limit);

  test("allow the rows that each of them allows, or are refused where there are none", () => {
    const number = fc.integer({ min: 0, max: 30 });
    fc.assert(
      fc.property(
        fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
        number,
        number,
        number,
        (limit, offset, from, length) => {
          const asked = { limit, offset };
          const both = rows(asked).filter((row) => row >= from && row <= from + length);
          const header = `${from}-${from + length}`;
          if (both.length === 0) {
            expect(() => topWindow([{ path: [], value: asked }], header)).toThrow(
              "Requested range not satisfiable",
            );
          } else {
            expect(rows(topWindow([{ path: [], value: asked }], header))).toEqual(both);
          }
        },
      ),
    );
  });

  test("a Range that is none says nothing", () => {
    for (const header of [undefined, "", "bytes=0-5", "a-b", "5"]) {
      expect(topWindow([], header)).toEqual({ limit: undefined, offset: 0 });
    }
  });

  test("Content-Range", () => {
    expect(contentRange(0, 3, undefined)).toBe("0-2/*");
    expect(contentRange(10, 3, 100)).toBe("10-12/100");
    expect(contentRange(0, 0, undefined)).toBe("*/*");
    expect(contentRange(5, 0, 5)).toBe("*/5");
    expect(contentRange(0, 0, 0)).toBe("*/0");
  });
});
