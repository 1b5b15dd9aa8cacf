import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeRow, parseRow } from "./wire-row.ts";
import { rowOf } from "./testing/sim-replica.ts";

const hlc = { ms: 1_700_000_000_000, counter: 3, writer: "a/1" };
const row = rowOf({ id: "m", agent: "a", kind: "put", content: "text", nowMs: 5_000, version: 2, hlc });

test("an embedding arrives as the same 32-bit numbers", () => {
  const numbers = fc.float32Array({ minLength: 1, maxLength: 20, noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(numbers, (embedding) => {
      const sent: unknown = JSON.parse(JSON.stringify(encodeRow({ ...row, embedding })));
      const { row: parsed } = parseRow({ ...Object(sent), version: 1, seq: 1, updated_at: row.updated_at });
      expect([...parsed.embedding!].map((value) => value + 0)).toEqual(
        [...embedding].map((value) => value + 0),
      );
    }),
  );
});

test("a tombstone is sent without what it no longer has", () => {
  const tombstone = encodeRow({ ...row, content: "", deleted_at: row.updated_at });
  expect(Object.keys(tombstone)).not.toContain("content");
  expect(tombstone).toMatchObject({ id: "m", agent_id: "a", deleted_at: row.updated_at, hlc });
});

test("what is no memory is a protocol error that names keys and no content", () => {
  expect(() => parseRow({ id: "m", content: "secret" })).toThrowError(
    /expected text in agent_id, found keys id, content/,
  );
  expect(() => parseRow("secret")).toThrowError(/found string/);
  expect(() => parseRow({ ...row, hlc: { ms: "1" }, seq: 1 })).toThrowError(/a number in ms/);
});
