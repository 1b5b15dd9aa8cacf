import { expect, test } from "vitest";
import { parseMatch, parseMemory } from "./memory.ts";

const row = {
  id: "mem-001",
  tenant_id: "acme",
  agent_id: "ann",
  session_id: null,
  content: "Water is wet",
  embedding: [0.5, -1],
  embedding_model: null,
  metadata: { topic: "water" },
  source: null,
  scope: "tenant",
  written_by: "ann",
  version: 3,
  created_at: "2026-01-31T12:00:00.123456+00:00",
  updated_at: "2026-01-31T12:00:01+00:00",
  expires_at: null,
};

test("a row of the database is a memory, what else it carries is left out", () => {
  expect(parseMemory({ ...row, seq: 7, unknown: true })).toEqual(row);
  expect(parseMemory({ ...row, embedding: "[0.5,-1]" })).toEqual(row);
  expect(parseMatch({ ...row, similarity: -0.25 })).toEqual({ ...row, similarity: -0.25 });
});

test("what is not a memory is refused by the keys it has, without a word of its content", () => {
  expect(() => parseMemory({ id: "secret" })).toThrow("expected text in tenant_id, found keys id");
  expect(() => parseMemory("secret")).toThrow("expected an object, found string");
  expect(() => parseMatch(row)).toThrow("expected a number in similarity");
});
