import { describe, expect, test } from "vitest";
import type { Hlc, MemoryRow } from "../memory-row.ts";
import { completed } from "./own-rows.ts";
import { rowOf } from "./testing/sim-replica.ts";

const hlc = { ms: 5_000, counter: 1, writer: "a/1" };
const held: MemoryRow = {
  ...rowOf({ id: "m", agent: "a", kind: "put", content: "text", nowMs: 5_000, version: 1, hlc }),
  embedding: Float32Array.of(1, 2),
  metadata: { of: "m" },
  source: [1],
};
const brief = (row: MemoryRow): MemoryRow => {
  return { ...row, content: "", embedding: null, metadata: {}, source: null };
};
const find = (row: MemoryRow | undefined) => (id: string) => (row?.id === id ? row : undefined);

describe("of what came brief", () => {
  test("what is held of the same write is taken, and from the server what it made of it", () => {
    const marked = { ...held, version: 2, superseded_by: "a later one", updated_at: "2020-01-01T00:00:00Z" };
    const other = { ...held, id: "n" };
    expect(
      completed(
        [
          { row: brief(marked), seq: 7, isBrief: true },
          { row: other, seq: 8 },
        ],
        find(held),
      ),
    ).toEqual([
      { row: marked, seq: 7, isBrief: false },
      { row: other, seq: 8 },
    ]);
  });

  const at = (clock: Partial<Hlc>): MemoryRow => ({ ...held, hlc: { ...hlc, ...clock } });
  test.each([
    ["nothing is held", undefined],
    ["an older write is held", at({ counter: 0 })],
    ["a later write is held", at({ ms: 5_001 })],
    ["a tombstone is held", { ...held, deleted_at: held.updated_at }],
  ])("nothing is made up where %s", (_, row) => {
    expect(completed([{ row: brief(held), seq: 7, isBrief: true }], find(row))).toBeUndefined();
  });
});
