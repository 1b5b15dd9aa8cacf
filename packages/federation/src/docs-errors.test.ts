import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

test("the page about errors has a row for each code, and no other", () => {
  const union = /FederationErrorCode =([\s\S]*?);\n\n/.exec(read("./runtime/errors.ts"))?.[1] ?? "";
  const codes = [...union.matchAll(/\| "(\w+)"/g)].map((match) => match[1]);
  const rows = [...read("../../../docs/errors.md").matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]);
  expect(codes.length).toBeGreaterThan(10);
  expect(rows).toEqual(codes);
});
