import { expect, test } from "vitest";
import type { FoundMemory } from "../memory.ts";
import type { MemoryRow } from "../memory-row.ts";
import { mergeAnswers } from "./merge-answers.ts";
import { rowOf, storedOf, tombstoneOf } from "./stored-row.ts";

const hlc = { ms: 1, counter: 0, writer: "w" };
const now = "2026-01-01T00:00:00.000Z";
const stamp = { hlc, now, expiresAt: null, contentHash: "", sessionAgent: null };

function held(id: string, version = 1): MemoryRow {
  const row = rowOf({ id, tenant_id: "t", agent_id: "ann", content: id }, undefined, stamp);
  return { ...row, version };
}

function found(id: string, score: number, version = 1): FoundMemory {
  return { ...storedOf(held(id, version), "t"), similarity: score, score };
}

const here = (rows: readonly MemoryRow[], matches: readonly FoundMemory[]) => ({
  matches,
  find: (id: string) => rows.find((row) => row.id === id),
});

test("similarities from here and there make one order, each memory once", () => {
  const merged = mergeAnswers(
    here([held("a"), held("b")], [found("a", 0.9), found("b", 0.2)]),
    [found("c", 0.95), found("a", 0.9), found("d", 0.1)],
    { mode: "meaning", limit: 3 },
  );
  expect(merged.map(({ id }) => id)).toEqual(["c", "a", "b"]);
});

test("a memory of which a later version is here, or that is gone here, is not taken from there", () => {
  const gone = tombstoneOf(held("gone"), { hlc, now });
  const merged = mergeAnswers(
    here([held("changed", 2), gone], []),
    [found("changed", 0.9), found("gone", 0.8), found("only there", 0.1)],
    { mode: "meaning", limit: 10 },
  );
  expect(merged.map(({ id }) => id)).toEqual(["only there"]);
});

test("how well words match is said in other units here and there, so the places are merged", () => {
  const merged = mergeAnswers(
    here([held("both"), held("here")], [found("here", 40), found("both", 30)]),
    [found("both", 0.01), found("there", 0.005)],
    { mode: "words", limit: 2 },
  );
  expect(merged.map(({ id }) => id)).toEqual(["both", "here"]);
  expect(merged[0]?.score).toBeCloseTo(1 / 61 + 1 / 62, 9);
});
