import fc from "fast-check";
import { expect, test } from "vitest";
import { splitStatements } from "./split-statements.ts";

const texts = (script: string): string[] => splitStatements(script).map(({ text }) => text);

test.each([
  ["", []],
  [" ;; -- nothing\n /* at ; all */ ", []],
  ["select 1; select 2", ["select 1", "select 2"]],
  ["select 'a;b'; select ';''';", ["select 'a;b'", "select ';'''"]],
  ["select E'it\\'s;'; select 'c:\\'; select 2", ["select E'it\\'s;'", "select 'c:\\'", "select 2"]],
  ['select ";" as "a"";"; x', ['select ";" as "a"";"', "x"]],
  ["do $$ begin; end $$; do $a$ $$;$b$ $a$; y", ["do $$ begin; end $$", "do $a$ $$;$b$ $a$", "y"]],
  ["select a$b$c; select $1;", ["select a$b$c", "select $1"]],
  ["-- first;\nselect 1 -- last;\n; /* /* ; */ ; */ select 2", ["select 1", "select 2"]],
  ["select 1 /* inside; */ + 2;", ["select 1 /* inside; */ + 2"]],
  [
    "create function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3",
    [
      "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
      "select 3",
    ],
  ],
  ["begin; select 1; end; commit", ["begin", "select 1", "end", "commit"]],
  ["select 'never closed; select 2", ["select 'never closed; select 2"]],
])("%j", (script, expected) => {
  expect(texts(script)).toEqual(expected);
});

test("every statement is where it says it is", () => {
  const script = "-- é\nselect 1;\n\n  select 'ü;' ;";
  expect(splitStatements(script)).toEqual([
    { text: "select 1", start: 5 },
    { text: "select 'ü;'", start: 18 },
  ]);
});

test("any text is split into parts of itself", () => {
  const piece = fc.oneof(
    fc.constantFrom(";", "'", '"', "$$", "--", "\n", "/*", "*/", "E'", "begin atomic", "end"),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const script = pieces.join(" ");
      for (const { text, start } of splitStatements(script))
        expect(script.slice(start, start + text.length)).toBe(text);
    }),
  );
});
