import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const spec = readFileSync(new URL("SPEC.md", import.meta.url), "utf8");

test("every rule of the spec names a test that exists", () => {
  const rules = spec.split(/^(?=\d+\. )/m).slice(1);
  expect(rules.map((rule) => Number.parseInt(rule, 10))).toEqual(rules.map((_, index) => index + 1));
  for (const rule of rules) {
    const cited = [...rule.matchAll(/`([\w./-]+\.test\.ts) › ([^`]+)`/g)];
    expect(cited, `no test is named by: ${rule}`).not.toEqual([]);
    for (const [, file = "", name = ""] of cited) {
      const source = readFileSync(new URL(file, import.meta.url), "utf8");
      const isThere = ['"', "`"].some((quote) => source.includes(`test(${quote}${name}`));
      expect(isThere, `${file} has no test "${name}"`).toBe(true);
    }
  }
});
