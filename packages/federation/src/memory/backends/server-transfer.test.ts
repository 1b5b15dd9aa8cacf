import fc from "fast-check";
import { expect, test } from "vitest";
import { rowOf } from "../sync/testing/sim-replica.ts";
import { serverTransfer } from "./server-transfer.ts";

const anyId = fc.oneof(
  fc.stringMatching(/^[a-cA-C_-]{1,3}$/),
  fc.string({ minLength: 1, maxLength: 3, unit: "grapheme" }),
);
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
/** As a database in English does it. */
const byLocale = (a: string, b: string): number => new Intl.Collator("en").compare(a, b) || byBytes(a, b);

test("memories of a server come in the order of their ids' bytes, whatever order it has, and go on behind any id", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(anyId, { maxLength: 20 }),
      fc.record({ pageSize: fc.integer({ min: 1, max: 5 }), mostIds: fc.integer({ min: 1, max: 25 }) }),
      fc.option(anyId, { nil: undefined }),
      async (ids, { pageSize, mostIds }, afterId) => {
        const inOrder = ids.toSorted(byLocale);
        const row = (id: string) =>
          rowOf({
            id,
            agent: "a",
            kind: "put",
            content: id,
            nowMs: 0,
            version: 1,
            hlc: { ms: 0, counter: 0, writer: "w" },
          });
        const { source } = serverTransfer({
          ids: async (after) => {
            const from = after === undefined ? 0 : inOrder.indexOf(after) + 1;
            return inOrder.slice(from, from + pageSize);
          },
          mostIds,
          read: async (some) => some.toReversed().map((id) => ({ row: row(id), seq: 1 })),
          push: () => Promise.reject(new Error("nothing is written")),
        });
        const read: string[] = [];
        for await (const { id } of source.rows(afterId === undefined ? {} : { afterId })) read.push(id);
        const behind = ids.filter((id) => afterId === undefined || byBytes(id, afterId) > 0);
        expect(read).toEqual(behind.toSorted(byBytes));
      },
    ),
  );
});
