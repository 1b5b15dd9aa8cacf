import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { realtimeRequirements } from "./requirements.ts";

const folder = new URL("../packages/local-supabase/src/realtime/", import.meta.url);
const tests = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".test.ts"),
);
/** Citations stand at the beginning of a name: `"[12][13] …"`. */
const citation = /["'`]((?:\[\d{1,3}\])+)/g;
const cited = new Set(
  tests.flatMap((name) =>
    Array.from(
      readFileSync(new URL(name, folder), "utf8").matchAll(citation),
      ([, ids = ""]) => ids.match(/\d+/g) ?? [],
    )
      .flat()
      .map(Number),
  ),
);
const entries = Object.entries(realtimeRequirements).map(([id, requirement]) => ({
  id: Number(id),
  ...requirement,
}));

test("the list is whole, and nothing is cited that is not on it", () => {
  expect(entries.map(({ id }) => id)).toEqual(Array.from({ length: 128 }, (_, i) => i + 1));
  expect([...cited].filter((id) => realtimeRequirements[id] === undefined)).toEqual([]);
});

test("every requirement is cited by a test or is a known gap", () => {
  expect(entries.filter(({ id, gap }) => gap === undefined && !cited.has(id))).toEqual([]);
});

test("a gap that a test cites is none", () => {
  expect(entries.filter(({ id, gap }) => gap !== undefined && cited.has(id))).toEqual([]);
});
