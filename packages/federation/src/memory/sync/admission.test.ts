import fc from "fast-check";
import { expect, test } from "vitest";
import type { MemoryRow } from "../memory-row.ts";
import { Admission } from "./admission.ts";
import { MemoryTenantStore } from "./testing/memory-tenant-store.ts";
import { rowOf } from "./testing/sim-replica.ts";

const nowMs = 1_700_000_000_000;

const anyRow = fc.record({
  createdMs: fc.integer({ min: nowMs - 30, max: nowMs - 1 }),
  is: fc.constantFrom("living", "superseded", "expired", "deleted"),
});

function rowsOf(made: readonly { readonly createdMs: number; readonly is: string }[]): MemoryRow[] {
  return made.map(({ createdMs, is }, at) => {
    const id = `m${at}`;
    const hlc = { ms: createdMs, counter: 0, writer: "w" };
    const kind = is === "deleted" ? "delete" : "put";
    return {
      ...rowOf({ id, agent: "a", kind, content: id, nowMs: createdMs, version: 1, hlc }),
      superseded_by: is === "superseded" ? "a later one" : null,
      expires_at: is === "expired" ? new Date(nowMs).toISOString() : null,
    };
  });
}

test("what is superseded or has expired takes no place from the newest of what can be found", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyRow, { maxLength: 60 }),
      fc.integer({ min: 2, max: 20 }),
      async (made, most) => {
        const store = new MemoryTenantStore();
        await store.apply(rowsOf(made));
        const findable = (): Promise<readonly MemoryRow[]> => store.newest({ nowMs, limit: 100 });
        const before = await findable();
        const admission = new Admission({ store, filter: {}, maxLocalMemories: most });
        const isOver = await admission.makeRoom(nowMs);
        const after = await findable();
        expect(isOver).toBe(before.length > most);
        const kept = isOver ? Math.floor(most * 0.95) : before.length;
        const newest = before.slice(0, kept).map(({ created_at }) => created_at);
        expect(after.map(({ created_at }) => created_at)).toEqual(newest);
        const { floorMs = -Infinity } = admission;
        const isBelow = ({ created_at, deleted_at }: MemoryRow): boolean =>
          deleted_at === null && Date.parse(created_at) < floorMs;
        expect([...store.data.rows.values()].filter(isBelow)).toEqual([]);
      },
    ),
  );
});
