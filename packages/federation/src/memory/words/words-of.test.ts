import fc from "fast-check";
import { expect, test } from "vitest";
import { eachWord } from "./words-of.ts";

function wordsOf(text: string): string[] {
  const words: string[] = [];
  eachWord(text, (bytes, start, end) => {
    words.push(new TextDecoder().decode(bytes.subarray(start, end)));
  });
  return words;
}

test.each([
  ["The quick-brown fox, v2.10!", ["the", "quick", "brown", "fox", "v2", "10"]],
  ["don't panic_now", ["don", "t", "panic", "now"]],
  ["Größe ÜBER ﬁnal Ｗｉｄｅ", ["größe", "über", "final", "wide"]],
  ["हिन्दी में खोज", ["हिन्दी", "में", "खोज"]],
  ["поиск ИДЁТ 漢字かな 𝐁old 𠀀x", ["поиск", "идёт", "漢字かな", "bold", "𠀀x"]],
  ["e\u0301t\u00e9", ["\u00e9t\u00e9"]],
  ["a\ud800b", ["a", "b"]],
  ["", []],
  ["… — !", []],
])("the words of %j", (text, words) => {
  expect(wordsOf(text)).toEqual(words);
});

test("text of ASCII is cut the same way as all other text", () => {
  const ascii = fc.string({ unit: "binary-ascii", maxLength: 60 });
  fc.assert(
    fc.property(ascii, (text) => {
      expect(wordsOf(text)).toEqual(wordsOf(`${text} é`).slice(0, -1));
    }),
  );
});

test("a run of letters without end is found by its beginning", () => {
  expect(wordsOf("a".repeat(100_000))).toEqual(["a".repeat(255)]);
  // Not in the middle of a character of four bytes.
  expect(wordsOf("𠀀".repeat(200))).toEqual(["𠀀".repeat(63)]);
  expect(wordsOf(`aaa${"𠀀".repeat(200)}`)).toEqual([`aaa${"𠀀".repeat(63)}`]);
});

// Right: what to_tsvector('simple', …) gives in PostgreSQL 18, sorted.
test.each([
  [
    `The quick brown fox (2nd edition) jumped: "don't panic", said 42 agents!`,
    "2nd 42 agents brown don edition fox jumped panic quick said t the",
  ],
  ["Größe ÜBER straße", "größe straße über"],
  ["snake_case camelCase abc123 123abc 0x1F", "0x1f 123abc abc123 camelcase case snake"],
  ["what's 50% of $100? C++ C#", "100 50 c of s what"],
  ["<b>bold</b> a&b 漢字かな 東京 に", "a b bold に 東京 漢字かな"],
  ["поиск ИДЁТ हिन्दी में खोज", "идёт поиск खोज में हिन्दी"],
])("prose is cut as Postgres cuts it: %s", (text, lexemes) => {
  expect([...new Set(wordsOf(text))].sort().join(" ")).toBe(lexemes);
});
