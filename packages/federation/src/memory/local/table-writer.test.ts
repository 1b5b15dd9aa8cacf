import { join } from "node:path";
import { expect, test } from "vitest";
import type { LocalStore } from "./local-store.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { openDatabases } from "./table-databases.node.ts";
import { rowOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();
const ways = [
  ["the main thread", Infinity],
  ["the thread", 0],
] as const;

test.each(ways)("pages of rows that come one behind the other are full, by %s", async (_, threadFrom) => {
  const store = await openLocalStore({ store: `full-${threadFrom}`, dataDir, threadFrom });
  for (let batch = 0; batch < 4; batch++) await put(store, "t", batch * 100, 100);
  await store.close();
  const databases = openDatabases(join(store.folder, "tables"));
  const { pageSize, treeLeafPageCount } = databases.vectors.getStats() as Record<string, number>; // lmdb-js types it as an object
  await databases.root.close();
  expect(pageSize).toBe(4_096);
  expect(treeLeafPageCount).toBe(200); // two vectors of 384 dimensions fit a page
});

test.each(ways)(
  "rows that come before others, at places that were given back, and of several tenants are there, by %s",
  async (_, threadFrom) => {
    const options = { store: `mixed-${threadFrom}`, dataDir, threadFrom };
    const written = new Set<string>();
    const step = async (store: LocalStore, tenant: string, from: number, count: number): Promise<void> => {
      await put(store, tenant, from, count);
      for (let at = from; at < from + count; at++) written.add(`${tenant}/m${at}`);
    };
    const forget = async (store: LocalStore, tenant: string, ...ids: string[]): Promise<void> => {
      await store.tenant(tenant).forget(ids);
      for (const id of ids) written.delete(`${tenant}/${id}`);
    };
    const first = await openLocalStore(options);
    await step(first, "a", 0, 5);
    await step(first, "b", 0, 5);
    await step(first, "a", 5, 5); // behind the others of its tenant, and before all of the next
    await forget(first, "b", "m3", "m4"); // the last that is there
    await first.flush();
    await step(first, "b", 10, 3);
    await first.close();
    const second = await openLocalStore(options);
    await forget(second, "a", "m9");
    await step(second, "a", 20, 3);
    await step(second, "b", 20, 3);
    await step(second, "c", 0, 3);
    await step(second, "b", 0, 2); // again
    await second.close();
    const third = await openLocalStore(options);
    for (const tenant of ["a", "b", "c"]) {
      const ids: string[] = [];
      for await (const row of third.tenant(tenant).rows()) {
        ids.push(`${tenant}/${row.id}`);
        expect(row.embedding?.[0]).toBe(Number(row.id.slice(1)) + 1);
      }
      expect(ids).toEqual([...written].filter((id) => id.startsWith(tenant)).toSorted());
    }
    await third.close();
  },
);

async function put(store: LocalStore, tenant: string, from: number, count: number): Promise<void> {
  const writes = Array.from({ length: count }, (_, at) => {
    const embedding = new Float32Array(384).fill(1);
    embedding[0] = from + at + 1;
    return { row: rowOf({ id: `m${from + at}`, embedding }) };
  });
  await store.tenant(tenant).write(writes, { outbox: false });
}
