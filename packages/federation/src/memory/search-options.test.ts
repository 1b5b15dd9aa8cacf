import { expect, test } from "vitest";
import { isFederationError } from "../runtime/errors.ts";
import { checkFilter, checkSearch, type SearchOptions } from "./search-options.ts";

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "passed";
  } catch (error) {
    return isFederationError(error) ? error.code : String(error);
  }
};

test("the mode is what text, embedding and embedder allow", () => {
  const modeOf = (options: Omit<SearchOptions, "tenant">, hasEmbed: boolean): string =>
    checkSearch({ tenant: "t", ...options }, hasEmbed).mode;
  expect(modeOf({ text: "x" }, false)).toBe("words");
  expect(modeOf({ text: "x" }, true)).toBe("both");
  expect(modeOf({ embedding: [1] }, false)).toBe("meaning");
  expect(modeOf({ text: "x", embedding: [1] }, false)).toBe("both");
  expect(modeOf({ text: "x", mode: "words" }, true)).toBe("words");
  expect(modeOf({ text: "x", mode: "meaning" }, true)).toBe("meaning");
});

test("what cannot be searched is refused, and a limit ends at 10,000", () => {
  const wrong: Record<string, unknown>[] = [
    {},
    { text: "" },
    { text: "x", mode: "meaning" },
    { embedding: [1], mode: "words" },
    { embedding: [1], mode: "both" },
    { text: "x", mode: "fuzzy" },
    { text: "x", limit: 1.5 },
    { text: "x", minSimilarity: 2 },
    { text: "x", minSimilarity: Number.NaN },
    { text: "x", coverage: "some" },
    { text: "x", filter: { since: "yesterday" } },
    { text: "x", filter: { agent: "not an id" } },
    { text: "x", filter: { metadata: "db" } },
  ];
  for (const options of wrong) {
    // What callers without types may pass is what is tried here.
    expect(codeOf(() => checkSearch({ tenant: "t", ...options } as SearchOptions, false))).toBe(
      "invalid_argument",
    );
  }
  expect(codeOf(() => checkSearch({ tenant: "t", text: "x".repeat(65_537) }, false))).toBe("too_large");
  expect(checkSearch({ tenant: "t", text: "x", limit: 1e6 }, false).limit).toBe(10_000);
});

test("of a filter only what is given is left", () => {
  expect(checkFilter({ agent: undefined, session: "s" }, "filter")).toEqual({ session: "s" });
  expect(checkFilter({}, "filter")).toEqual({});
});
