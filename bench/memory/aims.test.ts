import { expect, test } from "vitest";
import { aimsTable } from "./aims.ts";

test("memories brought to a second agent are told apart by their number, and by whether the index was kept", () => {
  const result = (name: string, value: number) => ({ kind: "hybrid" as const, name, value, unit: "×" });
  const lines = aimsTable(
    [],
    [
      result("times the bare bulk insert, 2,000", 4),
      result("times the bare bulk insert, 100,000", 2),
      result("times the bare bulk insert, 100,000 (HNSW index)", 1.5),
      result("until a second agent has all 100,000", 9),
    ],
  ).split("\n");
  expect(lines.slice(2)).toEqual([
    "| to a second agent, times a bare insert, without the HNSW index | 2,000 | ≤ 3.000 | 4.000 | **missed** |",
    "| to a second agent, times a bare insert, without the HNSW index | 100,000 | ≤ 3.000 | 2.000 | met |",
    "| to a second agent, times a bare insert, with the HNSW index | 100,000 | ≤ 3.000 | 1.500 | met |",
  ]);
});
