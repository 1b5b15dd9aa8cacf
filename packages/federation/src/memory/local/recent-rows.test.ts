import { expect, test } from "vitest";
import { openLocalStore } from "./open-local-store.node.ts";
import { RecentRows } from "./recent-rows.ts";
import { rowOf, tombstoneOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();
const nowMs = Date.parse("2026-06-01T00:00:00Z");

test("so many bytes are kept at most, what came last stays, and what is large is not kept", () => {
  const recent = new RecentRows(16_000);
  const row = (text: string) => ({ text, embedding: new Float32Array(50) });
  for (let slot = 0; slot < 100; slot++) recent.put(slot, row(`${slot}`));
  const kept = Array.from({ length: 100 }, (_, slot) => slot).filter(
    (slot) => recent.get(slot) !== undefined,
  );
  expect(kept.length).toBeGreaterThan(20);
  expect(kept.length * 400).toBeLessThan(16_000);
  expect(kept.at(0)).toBe(100 - kept.length);
  recent.put(1, row("x".repeat(1_000)));
  expect(recent.get(1)).toBeUndefined();
  recent.drop(99);
  expect(recent.get(99)).toBeUndefined();
  expect(recent.get(98)?.text).toBe("98");
});

test("what is found again is as it is by then: changed, deleted, and another row in the same place", async () => {
  const store = await openLocalStore({ store: "again", dataDir });
  const tenant = store.tenant("t");
  const embedding = Float32Array.of(1, 0, 0);
  const find = async () => (await tenant.searchMeaning({ embedding, model: null, nowMs, limit: 1 }))[0]?.row;
  const first = rowOf({ id: "a", embedding, metadata: { n: 1 } });
  const write = async (row: typeof first): Promise<void> => {
    await tenant.write([{ row }], { outbox: false });
    await tenant.searchWords({ text: "content", nowMs, limit: 1 }); // answers when all is in the tables
  };
  await write(first);
  const found = await find();
  expect(found).toEqual(first);
  expect(await find()).toEqual(first);
  Object.assign(found?.metadata ?? {}, { n: 2 }); // whoever changes what was found changes nobody else's
  expect(await find()).toEqual(first);
  const changed = { ...first, version: 2, content: "content, changed", embedding: Float32Array.of(2, 1, 0) };
  await write(changed);
  expect(await find()).toEqual(changed);
  expect(await find()).toEqual(changed);
  await write(tombstoneOf(changed, "2026-05-01T00:00:00.000Z", 2));
  expect(await find()).toBeUndefined();
  await tenant.cleanup({ nowMs, tombstonesBeforeMs: nowMs });
  const other = rowOf({ id: "b", embedding });
  await write(other);
  expect(await find()).toEqual(other);
  await store.close();
});
