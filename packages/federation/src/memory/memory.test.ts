import { expect, test } from "vitest";
import { parseFound, parseMemory } from "./memory.ts";

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
  content_hash: "c0",
  supersedes: null,
  superseded_by: null,
  version: 3,
  created_at: "2026-01-31T12:00:00.123456+00:00",
  updated_at: "2026-01-31T12:00:01+00:00",
  expires_at: null,
};

test("a row of the database is a memory, what else it carries is left out", () => {
  expect(parseMemory({ ...row, seq: 7, unknown: true })).toEqual(row);
  expect(parseMemory({ ...row, embedding: "[0.5,-1]" })).toEqual(row);
  const found = { ...row, similarity: -0.25, score: 0.5 };
  expect(parseFound(found)).toEqual(found);
  expect(parseFound({ ...found, similarity: null }).similarity).toBeNull();
});

test("what is not a memory is refused by the keys it has, without a word of its content", () => {
  expect(() => parseMemory({ id: "secret" })).toThrow("expected text in tenant_id, found keys id");
  expect(() => parseMemory("secret")).toThrow("expected an object, found string");
  expect(() => parseFound(row)).toThrow("expected a number in score");
});
