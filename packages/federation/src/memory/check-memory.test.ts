import fc from "fast-check";
import { expect, test } from "vitest";
import { isFederationError } from "../runtime/errors.ts";
import { checkLimit, checkMemory } from "./check-memory.ts";
import { jsonbBytes } from "./jsonb-size.ts";
import type { AgentMemory } from "./memory.ts";

const memory: AgentMemory = { id: "mem-001", tenant_id: "acme", agent_id: "ann", content: "Water is wet" };

const codeOf = (change: Record<string, unknown>): string | undefined => {
  try {
    // What callers without types may pass is what is tried here.
    checkMemory({ ...memory, ...change } as AgentMemory);
    return undefined;
  } catch (error) {
    return isFederationError(error) ? error.code : "not ours";
  }
};

test("a memory with only what is required is sent as it is, defaults left to the database", () => {
  expect(checkMemory(memory)).toEqual(memory);
  expect(
    checkMemory({ ...memory, session_id: null, embedding: null, metadata: null, expires_at: null }),
  ).toEqual(memory);
});

test("every finite vector that is not zero passes and keeps its numbers, typed arrays too", () => {
  const number = fc.float({ noNaN: true, noDefaultInfinity: true });
  const vector = fc
    .array(number, { minLength: 1, maxLength: 64 })
    .filter((each) => each.some((value) => value !== 0));
  fc.assert(
    fc.property(vector, (embedding) => {
      expect(checkMemory({ ...memory, embedding })["embedding"]).toEqual(embedding);
      const given = Float32Array.from(embedding);
      const kept = checkMemory({ ...memory, embedding: given })["embedding"];
      given.fill(0); // theirs, not ours
      expect(kept).toEqual(Float32Array.from(embedding));
    }),
  );
});

test.each([
  ["no numbers", []],
  ["NaN", [1, Number.NaN]],
  ["infinity", [Number.POSITIVE_INFINITY]],
  ["more than 32 bits hold", [1e39]],
  ["only zeros", [0, -0, 0]],
  ["only numbers that 32 bits round to zero", [1e-60]],
  ["text among the numbers", ["1"]],
  ["a hole", [1, , 2]], // eslint-disable-line no-sparse-arrays
  ["4097 numbers", Array.from({ length: 4097 }, () => 1)],
  ["no list", "[1,2]"],
])("an embedding of %s is refused", (_, embedding) => {
  expect(codeOf({ embedding })).toBe("invalid_argument");
});

test("4096 dimensions and 255 bytes of id pass, one more does not", () => {
  expect(codeOf({ embedding: Array.from({ length: 4096 }, () => 0.5) })).toBeUndefined();
  expect(codeOf({ id: `${"é".repeat(127)}x` })).toBeUndefined();
  expect(codeOf({ id: "é".repeat(128) })).toBe("too_large");
});

test("content of 1 MiB as UTF-8 passes, one byte more does not, none at all does", () => {
  expect(codeOf({ content: "é".repeat(512 * 1024) })).toBeUndefined();
  expect(codeOf({ content: `${"é".repeat(512 * 1024)}.` })).toBe("too_large");
  expect(codeOf({ content: "" })).toBeUndefined();
  expect(codeOf({ metadata: { text: "x".repeat(1024 * 1024) } })).toBe("too_large");
});

test("the size of metadata is that of what Postgres prints of it", () => {
  const sizes = [
    ["{}", 2],
    ['{"a": 1}', 8],
    ['{"a": [1, -2.5, "é", null], "b": {"": true}}', 45],
    ["-0", 1],
    ["1e21", 22],
    ["-1.5e300", 302],
    ["5e-324", 326],
    ["1.25e-7", 11],
    ['"\\n\\u0001\\\""', 12],
  ] as const;
  for (const [json, sizeBytes] of sizes) expect(jsonbBytes(JSON.parse(json)), json).toBe(sizeBytes);
  expect(codeOf({ metadata: { a: Array.from({ length: 3_371 }, () => 1e308) } })).toBeUndefined();
  expect(codeOf({ metadata: { a: Array.from({ length: 3_372 }, () => 1e308) } })).toBe("too_large");
});

test("metadata may be nested 500 deep, of objects and arrays, and no deeper", () => {
  const nested = (depth: number, make: (inner: unknown) => unknown): unknown => {
    let value: unknown = 1;
    for (let at = 0; at < depth; at++) value = make(value);
    return value;
  };
  for (const make of [(inner: unknown) => [inner], (inner: unknown) => ({ a: inner })]) {
    expect(codeOf({ metadata: { a: nested(499, make) } })).toBeUndefined();
    expect(codeOf({ metadata: { a: nested(500, make) } })).toBe("invalid_argument");
    expect(codeOf({ metadata: { a: nested(100_000, make) } })).toBe("invalid_argument");
  }
});

test.each([
  ["an empty id", { id: "" }],
  ["an id that is no text", { id: 7 }],
  ["a tenant with a space", { tenant_id: "a b" }],
  ["no agent", { agent_id: undefined }],
  ["no content", { content: undefined }],
  ["U+0000, which Postgres cannot hold", { content: "a\u0000b" }],
  ["half a surrogate pair", { content: "\ud83d" }],
  ["U+0000 deep in the metadata", { metadata: { a: [{ b: "\u0000" }] } }],
  ["metadata that is a list", { metadata: [] }],
  ["metadata that JSON would alter", { metadata: { a: Number.NaN } }],
  ["a time that is none", { expires_at: "tomorrow" }],
  ["a time without a zone", { created_at: "2026-01-31T12:00:00" }],
  ["an unknown scope", { scope: "world" }],
])("%s is refused", (_, change) => {
  expect(codeOf(change)).toBe("invalid_argument");
});

test("times come as text with a zone or as a Date", () => {
  const moment = "2026-01-31T12:00:00.123456+00:00";
  expect(checkMemory({ ...memory, created_at: moment })["created_at"]).toBe(moment);
  expect(codeOf({ expires_at: new Date(0) })).toBeUndefined();
});

test("the refusal names the field, what was expected and what was found", () => {
  expect(() => checkMemory({ ...memory, embedding: [1, Number.NaN] })).toThrow(
    "storeMemory embedding: expected finite numbers that fit 32 bits, at place 1, got NaN",
  );
});

test("a limit is a whole number above 0", () => {
  expect(checkLimit(2500, "queryMemories limit")).toBe(2500);
  for (const limit of [0, -1, 1.5, Number.NaN])
    expect(() => checkLimit(limit, "queryMemories limit")).toThrow(/above 0/);
});
