import fc from "fast-check";
import { expect, test } from "vitest";
import { INVALID_TTL, persistOfMeta, persistOfQuery } from "./persist.ts";

const forever = { ttlSeconds: undefined };

test("metadata asks for nothing, for the usual time, or for so many seconds", () => {
  const asked: [string, unknown][] = [
    ["", undefined],
    ["{}", undefined],
    ["no json", undefined],
    ["[true]", undefined],
    ['{"persist":false}', undefined],
    ['{"persist":null}', undefined],
    ['{"persist":true}', forever],
    ['{"persist":{}}', forever],
    ['{"persist":{"ttl":1}}', { ttlSeconds: 1 }],
    ['{"persist":{"ttl":259200}}', { ttlSeconds: 259_200 }],
    ...["0", "259201", "1.5", '"60"', "null"].map((ttl): [string, unknown] => [
      `{"persist":{"ttl":${ttl}}}`,
      INVALID_TTL,
    ]),
    ['{"persist":"yes"}', INVALID_TTL],
    ['{"persist":60}', INVALID_TTL],
  ];
  for (const [meta, expected] of asked) expect([meta, persistOfMeta(meta)]).toEqual([meta, expected]);
});

test("so does a query", () => {
  const ask = (query: string): unknown => persistOfQuery(new URLSearchParams(query));
  expect(ask("private=true")).toBeUndefined();
  expect(ask("persist=false")).toBeUndefined();
  expect(ask("persist=true")).toEqual(forever);
  expect(ask("persist[ttl]=60")).toEqual({ ttlSeconds: 60 });
  expect(ask("persist%5Bttl%5D=60")).toEqual({ ttlSeconds: 60 });
  for (const ttl of ["", "0", "-1", "1.5", "1e3", "259201", "x"]) {
    expect(ask(`persist[ttl]=${ttl}`)).toBe(INVALID_TTL);
  }
});

test("whatever the metadata, nothing is thrown", () => {
  fc.assert(fc.property(fc.string(), (text) => void persistOfMeta(text)));
  fc.assert(fc.property(fc.json(), (value) => void persistOfMeta(`{"persist":${value}}`)));
});
