import fc from "fast-check";
import { expect, test } from "vitest";
import { parseFilter } from "./filter.ts";

test.each([
  ["", []],
  ["id=eq.5", [{ column: "id", operator: "eq", value: "5" }]],
  ["id=not.in.(1,2)", [{ operator: "in", value: "{1,2}", isNegated: true, count: 2 }]],
  ["a=eq.1,b=lt.2", [{ column: "a" }, { column: "b", operator: "lt" }]],
  ['name=eq."x,y"', [{ value: "x,y" }]],
  ['name=in.("a,b",null)', [{ value: '{"a,b","null"}', count: 2 }]],
  [
    "body=like.%a,b=is.null",
    [
      { operator: "like", value: "%a" },
      { operator: "is", value: "null" },
    ],
  ],
])("%s", (text, conditions) => {
  expect(parseFilter(text)).toMatchObject({ conditions });
});

test.each([
  ["task", ["task"]],
  ["task=5", ["5"]],
  ["task=near.5", ["near", "5"]],
  ["task=in.5", ["in", "5"]],
])("%s cannot be read, and shows how far it was", (text, parts) => {
  expect(parseFilter(text)).toEqual({ parts });
});

test("whatever stands in quotes is the value, and any text is read or refused", () => {
  const quoted = (value: string): string => `"${value.replaceAll(/(["\\])/g, "\\$1")}"`;
  fc.assert(
    fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 5 }), (values) => {
      const text = values.map((value, index) => `c${index}=eq.${quoted(value)}`).join(",");
      expect(parseFilter(text)).toMatchObject({ conditions: values.map((value) => ({ value })) });
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => void parseFilter(text)));
});
