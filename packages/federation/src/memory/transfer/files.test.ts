import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { LocalStore, TenantStore } from "../local/local-store.ts";
import { openLocalStore } from "../local/open-local-store.node.ts";
import { compareHlc } from "../sync/hlc.ts";
import { exportMemoriesToFile, importMemoriesFromFile } from "./files.node.ts";
import { createStoreSink } from "./store-sink.ts";
import { MapSink } from "./testing/map-sink.ts";
import { memory } from "./testing/memories.node.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-test-"));
  path = join(folder, "memories.jsonl");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const source = new MapSink(
  Array.from({ length: 40 }, (_, index) =>
    memory(`memory ${index + 10}`, { embedding: Float32Array.of(index, 1 / 3), content: `ü ${index}` }),
  ),
);

test("memories go to a file and come back from it", async () => {
  expect(await exportMemoriesToFile(source, path)).toEqual({ memories: 40, written: 40 });
  const target = new MapSink();
  expect(await importMemoriesFromFile(path, target)).toMatchObject({ stored: 40, isComplete: true });
  expect(target.memories).toEqual(source.memories);
});

test("a file that is there is not overwritten unless that is asked for", async () => {
  await writeFile(path, "something dear");
  await expect(exportMemoriesToFile(source, path)).rejects.toMatchObject({ code: "invalid_argument" });
  expect(await readFile(path, "utf8")).toBe("something dear");
  await expect(exportMemoriesToFile(source, path, { existing: "resume" })).rejects.toMatchObject({
    code: "invalid_argument",
  });
  expect(await readFile(path, "utf8")).toBe("something dear");
  await writeFile(path, "{}\n{}\n");
  await expect(exportMemoriesToFile(source, path, { existing: "resume" })).rejects.toThrow(
    "is something else",
  );
  await exportMemoriesToFile(source, path, { existing: "replace" });
  expect((await importMemoriesFromFile(path, new MapSink())).stored).toBe(40);
});

test("an export that was cut off anywhere is resumed to the very file that it would have been", async () => {
  await exportMemoriesToFile(source, path, { existing: "resume" });
  const whole = await readFile(path);
  for (let size = 0; size < whole.length; size += 331) {
    await truncate(path, size);
    const before = whole.subarray(0, size).toString("latin1").split("\n").length - 1;
    const { memories, written } = await exportMemoriesToFile(source, path, { existing: "resume" });
    expect(memories).toBe(40);
    // The header is no memory.
    expect(written).toBe(40 - Math.max(0, before - 1));
    expect((await readFile(path)).equals(whole)).toBe(true);
  }
  expect(await exportMemoriesToFile(source, path, { existing: "resume" })).toEqual({
    memories: 40,
    written: 0,
  });
});

test("what a crash of the machine left behind the last line is overwritten", async () => {
  await exportMemoriesToFile(source, path);
  const whole = await readFile(path);
  await truncate(path, whole.indexOf(10, whole.length / 2) + 1);
  await appendFile(path, Buffer.alloc(4096));
  await exportMemoriesToFile(source, path, { existing: "resume" });
  expect((await readFile(path)).equals(whole)).toBe(true);
});

test("a damaged line in the middle of a file is not resumed behind", async () => {
  await exportMemoriesToFile(source, path);
  const lines = (await readFile(path, "utf8")).split("\n");
  lines[7] = "{}";
  await writeFile(path, lines.slice(0, 20).join("\n"));
  const sizeBytes = (await stat(path)).size;
  await expect(exportMemoriesToFile(source, path, { existing: "resume" })).rejects.toThrow("line 8");
  expect((await stat(path)).size).toBe(sizeBytes);
});

test("an export that is aborted keeps what was written, and goes on", async () => {
  const controller = new AbortController();
  const reason = new Error("stop");
  const slow = new MapSink(source.memories.values());
  let read = 0;
  const halting = {
    rows: async function* (options?: { readonly afterId?: string }) {
      for await (const each of slow.rows(options)) {
        if (++read === 10) controller.abort(reason);
        yield each;
      }
    },
  };
  await expect(exportMemoriesToFile(halting, path, { signal: controller.signal })).rejects.toBe(reason);
  expect(await exportMemoriesToFile(slow, path, { existing: "resume" })).toEqual({
    memories: 40,
    written: 31,
  });
});

test("the error of a file that is not there says so", async () => {
  await expect(importMemoriesFromFile(join(folder, "nothing"), new MapSink())).rejects.toThrow("ENOENT");
});

async function withStores(run: (first: TenantStore, second: TenantStore) => Promise<void>): Promise<void> {
  const stores: LocalStore[] = [];
  try {
    for (const store of ["first", "second"]) stores.push(await openLocalStore({ store, dataDir: folder }));
    const [first, second] = stores.map((store) => store.tenant("team"));
    if (first !== undefined && second !== undefined) await run(first, second);
  } finally {
    for (const store of stores) await store.close();
  }
}

test("one local store's memories become another's, with their clocks, and again without effect", async () => {
  await withStores(async (first, second) => {
    const sink = createStoreSink(first, { outbox: false });
    await sink.store([...source.memories.values()]);
    await exportMemoriesToFile(first, path);
    const target = createStoreSink(second, { outbox: true });
    expect(await importMemoriesFromFile(path, target)).toMatchObject({ stored: 40, unchanged: 0 });
    expect(await importMemoriesFromFile(path, target)).toMatchObject({ stored: 0, unchanged: 40 });
    const read = async (store: TenantStore): Promise<unknown[]> => {
      const rows: unknown[] = [];
      for await (const row of store.rows()) rows.push(row);
      return rows;
    };
    expect(await read(second)).toEqual(await read(first));
    expect(second.counts(Date.now())).toMatchObject({ living: 40, pending: 40 });
    expect(first.counts(Date.now())).toMatchObject({ living: 40, pending: 0 });
    expect((await second.searchWords({ text: "ü 17", nowMs: Date.now(), limit: 1 }))[0]?.row.content).toBe(
      "ü 17",
    );
  });
});

test("what is written while an import runs is not overwritten by what is older", async () => {
  await withStores(async (store) => {
    const at = (ms: number) => ({ ms, counter: 0, writer: "w" });
    const sink = createStoreSink(store, { outbox: false });
    const [older, newer] = [
      memory("a", { hlc: at(1), content: "old" }),
      memory("a", { hlc: at(2), content: "new" }),
    ];
    const others = ["b", "c"].map((id) => memory(id));
    await Promise.all([sink.store([older, ...others]), sink.store([newer, ...others])]);
    expect(store.get("a")?.content).toBe("new");
    expect(store.counts(Date.now()).living).toBe(3);
    expect(await sink.store([older])).toBe(0);
    expect(await sink.store([newer])).toBe(0);
    // What comes without a clock has the time of its last change.
    const { hlc: _, ...plain } = memory("plain");
    await sink.store([plain]);
    const ms = Date.parse(plain.updated_at);
    expect(compareHlc(store.get("plain")?.hlc ?? at(0), { ms, counter: 0, writer: "import" })).toBe(0);
  });
});
