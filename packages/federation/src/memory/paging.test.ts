import fc from "fast-check";
import { expect, test } from "vitest";
import { readPages } from "./paging.ts";

test("whatever the server's largest page, the first rows come once each and in order", async () => {
  const numbers = fc.integer({ min: 1, max: 3000 });
  const law = fc.asyncProperty(fc.nat({ max: 2500 }), numbers, numbers, async (total, limit, serverCap) => {
    const table = Array.from({ length: total }, (_, index) => String(index));
    const read = async (had: readonly string[], count: number): Promise<string[]> =>
      table.slice(had.length, had.length + Math.min(count, serverCap));
    expect(await readPages(limit, (row) => row, read)).toEqual(table.slice(0, limit));
  });
  await fc.assert(law, { numRuns: 60, examples: [[2500, 2500, 1000]] });
});

test("a row that moves to the next page while pages are read comes once", async () => {
  const pages = [["c", "b"], ["b", "a"], []];
  expect(
    await readPages(
      10,
      (row) => row,
      async () => pages.shift() ?? [],
    ),
  ).toEqual(["c", "b", "a"]);
});
