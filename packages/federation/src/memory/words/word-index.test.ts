import fc from "fast-check";
import { expect, test } from "vitest";
import { createWordIndex } from "./create-word-index.ts";
import { MapTables } from "./testing/map-tables.ts";
import type { WordMatch } from "./word-index.ts";
import { eachWord } from "./words-of.ts";

function wordsOf(text: string): string[] {
  const words: string[] = [];
  eachWord(text, (bytes, start, end) => {
    words.push(new TextDecoder().decode(bytes.subarray(start, end)));
  });
  return words;
}

/** BM25 by the book: every content is read for every question. */
function rankByReadingAll(contents: ReadonlyMap<number, string>, text: string): WordMatch[] {
  const documents = [...contents]
    .map(([slot, content]) => ({ slot, words: wordsOf(content) }))
    .filter(({ words }) => words.length > 0);
  const average = documents.reduce((sum, { words }) => sum + words.length, 0) / documents.length;
  const asked = wordsOf(text);
  const last = asked.at(-1) ?? "";
  const terms = [...new Set(asked)].map((word) => ({ weight: 1, has: (other: string) => other === word }));
  terms.push({ weight: 0.5, has: (other) => other.startsWith(last) && other !== last });
  const scores = new Map<number, number>();
  for (const { weight, has } of terms) {
    const holding = documents.filter(({ words }) => words.some(has)).length;
    const rarity = Math.log(1 + (documents.length - holding + 0.5) / (holding + 0.5));
    for (const { slot, words } of documents) {
      const count = words.filter(has).length;
      if (count === 0) continue;
      const score =
        (weight * rarity * 2.2 * count) / (count + 1.2 * (0.25 + (0.75 * words.length) / average));
      scores.set(slot, (scores.get(slot) ?? 0) + score);
    }
  }
  return [...scores].map(([slot, score]) => ({ slot, score })).toSorted((a, b) => b.score - a.score);
}

/** Ranks of equals may differ: sums of fractions depend on their order. */
function expectSameRanking(found: readonly WordMatch[], expected: readonly WordMatch[], count: number): void {
  const scores = new Map(expected.map(({ slot, score }) => [slot, score]));
  expect(found.map(({ score }) => score.toFixed(9))).toEqual(
    expected.slice(0, count).map(({ score }) => score.toFixed(9)),
  );
  for (const { slot, score } of found) expect(score).toBeCloseTo(scores.get(slot) ?? NaN, 9);
  expect(new Set(found.map(({ slot }) => slot)).size).toBe(found.length);
}

// Few words that begin like each other, so that they meet; slots at the edges of shelves and far apart.
const anyWord = fc.constantFrom(
  "a",
  "an",
  "and",
  "ant",
  "Ante",
  "b",
  "be",
  "bee",
  "ça",
  "ﬁ",
  "𠀀",
  "豈",
  "zoo",
  "7",
  "70",
);
const anyContent = fc.array(anyWord, { maxLength: 12 }).map((words) => words.join(" "));
const anySlot = fc.constantFrom(0, 1, 2, 3, 77, 4095, 4096, 4097, 8191, 20_000);
const anyStep = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("put" as const), slot: anySlot, content: anyContent }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), slot: anySlot }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("flush" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const) }) },
);

test("answers are those of reading every content, whatever was added, removed and added again", async () => {
  const anyRun = fc.record({
    steps: fc.array(anyStep, { maxLength: 40 }),
    text: fc.array(anyWord, { minLength: 1, maxLength: 4 }).map((words) => words.join(", ")),
    count: fc.integer({ min: 1, max: 12 }),
    admitted: fc.func(fc.boolean()),
  });
  await fc.assert(
    fc.asyncProperty(anyRun, async ({ steps, text, count, admitted }) => {
      const tables = new MapTables();
      let index = createWordIndex(tables);
      const contents = new Map<number, string>();
      const remove = (slot: number): void => {
        index.remove(slot, contents.get(slot) ?? "");
        contents.delete(slot);
      };
      for (const step of steps) {
        if (step.do === "put") {
          remove(step.slot);
          index.add(step.slot, step.content);
          contents.set(step.slot, step.content);
        } else if (step.do === "remove") remove(step.slot);
        else {
          index.flush();
          if (step.do === "reopen") index = createWordIndex(tables);
        }
      }
      const expected = rankByReadingAll(contents, text);
      expectSameRanking(await index.search(text, count), expected, count);
      const admits = (slot: number): boolean => admitted(slot);
      expectSameRanking(
        await index.search(text, count, { admits }),
        expected.filter(({ slot }) => admits(slot)),
        count,
      );
    }),
    { numRuns: 300 },
  );
});

/** Words that are as common as in a language: the n-th has the n-th part of the first one's share. */
function makeContents(count: number, vocabulary: number): string[] {
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const word = (): string => `w${Math.floor(vocabulary ** random()).toString(36)}`;
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + Math.floor(random() * 40) }, word).join(" "),
  );
}

test("thousands of contents over many pages and shelves are ranked as by reading every one", async () => {
  const contents = makeContents(6_000, 5_000);
  const tables = new MapTables();
  let index = createWordIndex(tables);
  contents.forEach((content, slot) => {
    index.add(slot, content);
    if (slot % 700 === 0) index.flush();
  });
  for (let slot = 0; slot < contents.length; slot += 3) index.remove(slot, contents[slot] ?? "");
  index.flush();
  for (let slot = 0; slot < contents.length; slot += 6) index.add(slot, contents[slot] ?? "");
  index.flush();
  index = createWordIndex(tables);
  const held = new Map([...contents.entries()].filter(([slot]) => slot % 3 !== 0 || slot % 6 === 0));
  expect(index.size).toBe(held.size);
  for (const text of ["w1", "w2 w1", "w", "wa wb wc w1z", "w3e8", "wzz w2", "nothing", "w7 nothing"]) {
    const expected = rankByReadingAll(held, text);
    expectSameRanking(await index.search(text, 25), expected, 25);
    const admits = (slot: number): boolean => slot % 100 === 4;
    const few = expected.filter(({ slot }) => admits(slot));
    expectSameRanking(await index.search(text, 25, { admits }), few, 25);
  }
}, 120_000);

test("when everything is removed, the tables are empty", () => {
  const contents = makeContents(3_000, 3_000);
  const tables = new MapTables();
  const index = createWordIndex(tables);
  contents.forEach((content, slot) => index.add(slot, content));
  index.flush();
  expect(tables.keys.length).toBeGreaterThan(30);
  contents.forEach((content, slot) => index.remove(slot, content));
  index.flush();
  expect(tables.keys).toEqual([]);
  expect(index.size).toBe(0);
});

test("no page but that of one very common word is larger than a page of lmdb", () => {
  const tables = new MapTables();
  const index = createWordIndex(tables);
  makeContents(4_096, 20_000).forEach((content, slot) => index.add(slot, `${content} the the the`));
  index.flush();
  const sizes = [...tables.range(["words"], ["words", 99])].map(({ value }) => value.length);
  expect(sizes.filter((size) => size > 4000).length).toBeLessThanOrEqual(2);
  expect(Math.max(...sizes)).toBeLessThan(4096 * 3);
});

test("nothing is written before flush, and searches see it all the same", async () => {
  const tables = new MapTables();
  const index = createWordIndex(tables);
  index.add(5, "a memory of the sea");
  expect(tables.keys).toEqual([]);
  expect((await index.search("sea", 3)).map(({ slot }) => slot)).toEqual([5]);
  expect((await index.search("mem", 3)).map(({ slot }) => slot)).toEqual([5]);
  index.remove(5, "a memory of the sea");
  expect(await index.search("sea", 3)).toEqual([]);
});

test("a slot that has a content takes no second one", () => {
  const index = createWordIndex(new MapTables());
  index.add(5, "one");
  expect(() => index.add(5, "two")).toThrow("slot 5 already has a content");
});

test("a text without words finds nothing", async () => {
  const index = createWordIndex(new MapTables());
  index.add(1, "something");
  expect(await index.search("", 5)).toEqual([]);
  expect(await index.search("?!", 5)).toEqual([]);
  expect(await index.search("something", 0)).toEqual([]);
});

/** An index whose clock says after every step that the slice is over. */
function sliced(
  contents: readonly string[],
  onPause: (pause: number) => void,
): ReturnType<typeof createWordIndex> {
  let now = 0;
  let pauses = 0;
  const index = createWordIndex(new MapTables(), {
    sliceMs: 1,
    now: () => (now += 1),
    pause: async () => onPause(++pauses),
  });
  contents.forEach((content, slot) => index.add(slot * 1000, content));
  index.flush();
  return index;
}

test("a search pauses between slices, and stops there when it is aborted", async () => {
  const controller = new AbortController();
  const reason = new Error("no longer wanted");
  let pauses = 0;
  const index = sliced(["sea", "sea wind", "sea sand", "seal", "season"], (pause) => {
    pauses = pause;
    if (pause === 4) controller.abort(reason);
  });
  await expect(index.search("wind sea", 3, { signal: controller.signal })).rejects.toBe(reason);
  expect(pauses).toBe(4);
  await expect(index.search("sea", 3, { signal: controller.signal })).rejects.toBe(reason);
  expect(await index.search("wind sea", 9)).toHaveLength(5);
});

test("whatever is written during the pauses of a search, it answers what was there before and stayed", async () => {
  const contents = ["sea one", "sea two", "sea three", "sea four", "season", "sea six"];
  for (let at = 1; at < 25; at++) {
    const index = sliced(contents, (pause) => {
      if (pause !== at) return;
      index.remove(1000, "sea two");
      index.add(1000, "land");
      index.remove(4000, "season");
      index.add(7000, "sea seven");
      index.add(7001, "nothing of it");
      if (at % 2 === 0) index.flush();
    });
    const slots = new Set((await index.search("sea", 10)).map(({ slot }) => slot));
    slots.delete(7000); // may be in the answer or not
    const wasWritten = index.size === contents.length + 1;
    expect([...slots].toSorted((a, b) => a - b)).toEqual(
      wasWritten ? [0, 2000, 3000, 5000] : [0, 1000, 2000, 3000, 4000, 5000],
    );
  }
});

test("searches that run at once answer as each alone", async () => {
  const contents = ["sea one", "sea two", "wind", "sea wind", "season", "sea six", "windy sea"];
  const index = sliced(contents, () => {});
  const texts = ["sea", "wind", "sea wind", "one"];
  const alone = [];
  for (const text of texts) alone.push(await index.search(text, 5));
  expect(await Promise.all(texts.map((text) => index.search(text, 5)))).toEqual(alone);
});

test("a flush can be taken in steps, during which searches find everything", async () => {
  const contents = makeContents(1_500, 3_000);
  const tables = new MapTables();
  const index = createWordIndex(tables);
  contents.forEach((content, slot) => index.add(slot, content));
  index.flush();
  contents.slice(0, 900).forEach((content, slot) => index.remove(slot, content));
  contents.slice(0, 300).forEach((content, slot) => index.add(slot + 5_000, content));
  const expected = await index.search("w1 w", 20);
  let steps = 0;
  for (const _ of index.flushing()) {
    if (steps++ % 20 === 0) expectSameRanking(await index.search("w1 w", 20), expected, 20);
    expect(() => index.add(9_000, "one more")).toThrow("until the flush is done");
    expect(() => index.remove(1_000, contents[1_000] ?? "")).toThrow("until the flush is done");
  }
  expect(steps).toBeGreaterThan(20);
  expectSameRanking(await index.search("w1 w", 20), expected, 20);
  expectSameRanking(await createWordIndex(tables).search("w1 w", 20), expected, 20);
});
