import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { getPriority } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { createVectorIndex } from "../create-vector-index.ts";
import {
  dimensions,
  errors,
  fill,
  folder,
  open,
  recall,
  someVectors,
  threshold,
} from "../testing/segments.node.ts";
import { seededClusters, seededRandom } from "../testing/vectors.ts";

test("from the threshold on graphs are built, and nearly everything is found through them", async () => {
  const vectors = someVectors(6000);
  const index = await open();
  fill(index, vectors.slice(0, threshold - 1));
  await index.buildIfDue();
  expect(index.parts).toEqual({ tail: threshold - 1, segments: [] });
  fill(index, vectors);
  await index.buildIfDue();
  expect(index.parts).toEqual({ tail: 0, segments: [{ rows: 6000, live: 6000 }] });
  expect((await readdir(folder)).toSorted()).toEqual(["1.graph", "1.segment"]);
  expect(await recall(index, vectors)).toBeGreaterThanOrEqual(0.99);
  expect(errors).toEqual([]);
});

test("building begins by itself once it was started, and goes on when it is due again", async () => {
  const vectors = someVectors(5000);
  const index = await open();
  fill(index, vectors.slice(0, 3000));
  expect(index.parts.segments).toHaveLength(0);
  index.startBuilding();
  await index.buildIfDue();
  expect(index.parts).toEqual({ tail: 0, segments: [{ rows: 3000, live: 3000 }] });
  for (const [at, vector] of vectors.slice(3000).entries()) index.set(3000 + at, vector);
  await index.buildIfDue();
  expect(index.parts.tail).toBeLessThan(threshold / 2);
  expect(await recall(index, vectors)).toBeGreaterThanOrEqual(0.99);
});

test("what is replaced, removed or added after sealing is found as it is now", async () => {
  const vectors: (Float32Array | undefined)[] = someVectors(4000);
  const index = await open();
  fill(index, vectors);
  await index.buildIfDue();
  const random = seededRandom(5);
  for (const vector of someVectors(600, 9)) {
    const slot = Math.floor(random() * 4300);
    if (random() < 0.5) {
      index.remove(slot);
      vectors[slot] = undefined;
    } else {
      index.set(slot, vector);
      vectors[slot] = vector;
    }
  }
  const live = index.parts.segments[0]?.live ?? 0;
  expect(live).toBeGreaterThan(3000);
  expect(live + index.parts.tail).toBe(index.size);
  expect(await recall(index, Array.from(vectors))).toBeGreaterThanOrEqual(0.99);
});

test("a filtered search is exact, whatever the graph thinks", async () => {
  const vectors = someVectors(4000);
  const index = await open();
  const exact = createVectorIndex(dimensions);
  fill(index, vectors);
  for (const [slot, vector] of vectors.entries()) exact.set(slot, vector);
  await index.buildIfDue();
  const among = Uint32Array.from({ length: 40 }, (_, at) => at * 100 + 7);
  for (const query of someVectors(20, 3))
    expect(await index.nearest(query, 10, { among })).toEqual(await exact.nearest(query, 10, { among }));
});

test("a query that is like nothing in the index is compared with everything", async () => {
  const vectors = someVectors(6000);
  const index = await open();
  const exact = createVectorIndex(dimensions);
  fill(index, vectors);
  for (const [slot, vector] of vectors.entries()) exact.set(slot, vector);
  await index.buildIfDue();
  let hits = 0;
  const random = seededRandom(6);
  for (let round = 0; round < 50; round++) {
    const query = Float32Array.from({ length: dimensions }, () => random() - 0.5);
    const truth = await exact.nearest(query, 20);
    const { slots } = await index.nearest(query, 20);
    hits += slots.filter((slot) => truth.slots.includes(slot)).length;
  }
  expect(hits / 1000).toBeGreaterThanOrEqual(0.98);
});

test("when the neighbourhood of a query was removed, what lies further away is found", async () => {
  const vectors = someVectors(4000);
  const index = await open();
  fill(index, vectors);
  await index.buildIfDue();
  const [query = new Float32Array(dimensions)] = vectors;
  const { slots } = await index.nearest(query, 900);
  expect(slots).toHaveLength(900);
  for (const slot of slots) index.remove(slot);
  const found = await index.nearest(query, 20);
  expect(found.slots).toHaveLength(20);
  for (const slot of found.slots) expect(slots.includes(slot)).toBe(false);
});

describe("opened again", () => {
  test("rows that are as they were are found by the graph, all others in the tail", async () => {
    const vectors: (Float32Array | undefined)[] = someVectors(4000);
    const first = await open();
    fill(first, vectors);
    await first.buildIfDue();
    await first.close();
    for (let slot = 0; slot < 300; slot++)
      vectors[slot] = slot % 3 === 0 ? undefined : someVectors(1, slot)[0];
    vectors.push(...someVectors(50, 4));
    const second = await open();
    fill(second, vectors);
    second.startBuilding();
    await second.buildIfDue();
    expect(second.parts).toEqual({ tail: 250, segments: [{ rows: 4000, live: 3700 }] });
    expect(await recall(second, vectors)).toBeGreaterThanOrEqual(0.99);
    expect(errors).toEqual([]);
  });

  test.each(["1.graph", "1.segment"])(
    "a damaged byte of %s is noticed, and the segment built again",
    async (name) => {
      const vectors = someVectors(3000);
      const first = await open();
      fill(first, vectors);
      await first.buildIfDue();
      await first.close();
      const bytes = await readFile(join(folder, name));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4;
      await writeFile(join(folder, name), bytes);
      const second = await open();
      expect(errors).toEqual(["a damaged vector segment is removed and will be built again"]);
      expect(await readdir(folder)).toEqual([]);
      fill(second, vectors);
      expect(second.parts).toEqual({ tail: 3000, segments: [] });
      expect(await recall(second, vectors)).toBe(1);
      await second.buildIfDue();
      expect(second.parts).toEqual({ tail: 0, segments: [{ rows: 3000, live: 3000 }] });
      expect((await readdir(folder)).toSorted()).toEqual(["2.graph", "2.segment"]);
    },
  );

  test("a cut-off or missing graph is no segment, nor is one of other dimensions", async () => {
    const first = await open();
    fill(first, someVectors(3000));
    await first.buildIfDue();
    await first.close();
    const graph = await readFile(join(folder, "1.graph"));
    const facts = await readFile(join(folder, "1.segment"));
    for (const content of [graph.subarray(0, 1000), undefined]) {
      await writeFile(join(folder, "1.segment"), facts);
      if (content === undefined) await rm(join(folder, "1.graph"), { force: true });
      else await writeFile(join(folder, "1.graph"), content);
      expect((await open()).parts.segments).toEqual([]);
    }
    await writeFile(join(folder, "1.segment"), facts);
    await writeFile(join(folder, "1.graph"), graph);
    expect((await open({ dimensions: dimensions + 1 })).parts.segments).toEqual([]);
    expect(errors).toHaveLength(3);
    expect(await readdir(folder)).toEqual([]);
  });

  test("what a crash left half-written is removed, and nothing else is", async () => {
    const first = await open();
    fill(first, someVectors(3000));
    await first.buildIfDue();
    await first.close();
    for (const name of ["2.graph.part", "2.segment.part", "3.graph", "7.segment.part", "notes.txt"])
      await writeFile(join(folder, name), "half of something");
    const second = await open();
    expect((await readdir(folder)).toSorted()).toEqual(["1.graph", "1.segment", "notes.txt"]);
    expect(second.parts.segments).toEqual([{ rows: 3000, live: 0 }]);
    expect(errors).toEqual([]);
  });
});

test("while a segment is built, writes and searches go on, and what was written is found", async () => {
  const vectors: (Float32Array | undefined)[] = someVectors(8000);
  const index = await open();
  fill(index, vectors);
  const random = seededRandom(2);
  const fresh = someVectors(2000, 8);
  let isBuilding = true;
  const building = index.buildIfDue().then(() => (isBuilding = false));
  let rounds = 0;
  // Each round lets the loop turn, so that batches are given away between the writes.
  for (; isBuilding && rounds < 900; rounds++) {
    const slot = Math.floor(random() * 8100);
    const vector = random() < 0.3 ? undefined : fresh[rounds % fresh.length];
    if (vector === undefined) index.remove(slot);
    else index.set(slot, vector);
    vectors[slot] = vector;
    if (vector !== undefined) expect((await index.nearest(vector, 1)).scores[0]).toBeGreaterThan(0.99);
    await new Promise(setImmediate);
  }
  await building;
  expect(rounds).toBeGreaterThan(10);
  expect(index.parts.segments).toHaveLength(1);
  expect(index.size).toBe(vectors.filter((vector) => vector !== undefined).length);
  const live = index.parts.segments[0]?.live ?? 0;
  expect(live + index.parts.tail).toBe(index.size);
  expect(await recall(index, Array.from(vectors))).toBeGreaterThanOrEqual(0.99);
});

test.skipIf(process.platform !== "linux")("a build has a low priority, and nothing else has", async () => {
  const before = getPriority();
  const index = await open();
  fill(index, someVectors(6000));
  let isBuilding = true;
  const building = index.buildIfDue().then(() => (isBuilding = false));
  let lowest = -20;
  while (isBuilding) {
    for (const thread of await readdir("/proc/self/task")) {
      const stat = await readFile(join("/proc/self/task", thread, "stat"), "utf8").catch(() => "");
      const [, nice = "-20"] = /\)(?: \S+){16} (\S+)/.exec(stat) ?? [];
      lowest = Math.max(lowest, Number(nice));
    }
  }
  await building;
  expect(lowest).toBe(Math.max(before, 10));
  expect(getPriority()).toBe(before);
});

test("closing ends a build, and leaves nothing that is taken for a segment", async () => {
  const index = await open();
  fill(index, someVectors(6000));
  const building = index.buildIfDue();
  await new Promise(setImmediate);
  await index.close();
  await building;
  expect(errors).toEqual([]);
  const again = await open();
  expect(again.parts.segments).toEqual([]);
  expect(await readdir(folder).catch(() => [])).toEqual([]);
});

test.each([".part", ".graph"])(
  "a process killed while there is a new %s leaves what can be opened",
  async (ending) => {
    const script = fileURLToPath(new URL("../testing/build-segments.node.ts", import.meta.url));
    const child = spawn(process.execPath, [
      "--import",
      "tsx",
      script,
      folder,
      `${dimensions}`,
      `${threshold}`,
    ]);
    const exited = once(child, "exit");
    await once(child.stdout, "data"); // one is on the disk: the next one takes its place
    const before = await readdir(folder);
    const isDue = (name: string): boolean => name.endsWith(ending) && !before.includes(name);
    while (!(await readdir(folder)).some(isDue)) await new Promise(setImmediate);
    child.kill("SIGKILL");
    await exited;

    const vectors = someVectors(threshold);
    const index = await open();
    expect((await readdir(folder)).filter((name) => name.endsWith(".part"))).toEqual([]);
    expect(errors).toEqual([]);
    fill(index, vectors);
    await index.buildIfDue();
    expect(index.parts).toEqual({ tail: 0, segments: [{ rows: threshold, live: threshold }] });
    expect(await recall(index, vectors)).toBeGreaterThanOrEqual(0.99);
  },
);

test("without the optional package everything is compared, and found", async () => {
  const vectors = someVectors(3000);
  const index = await open({ loadUsearch: () => undefined });
  fill(index, vectors);
  index.startBuilding();
  await index.buildIfDue();
  expect(index.parts).toEqual({ tail: 3000, segments: [] });
  expect(await recall(index, vectors)).toBe(1);
  expect(errors).toEqual([]);
});

test("segments wait on the disk while the optional package is missing", async () => {
  const vectors = someVectors(3000);
  const first = await open();
  fill(first, vectors);
  await first.buildIfDue();
  await first.close();
  const without = await open({ loadUsearch: () => undefined });
  expect(without.parts.segments).toEqual([]);
  const again = await open();
  fill(again, vectors);
  expect(again.parts).toEqual({ tail: 0, segments: [{ rows: 3000, live: 3000 }] });
});

test("a folder that cannot be written is said once, and searches go on", async () => {
  const vectors = someVectors(3000);
  await writeFile(join(folder), "a file where the folder should be");
  const index = await open();
  fill(index, vectors);
  index.startBuilding();
  await index.buildIfDue();
  expect(errors).toEqual(["vector segments cannot be opened", "a vector segment could not be built"]);
  for (let slot = 0; slot < 3000; slot++) index.remove(slot);
  fill(index, vectors);
  await new Promise(setImmediate);
  expect(errors).toHaveLength(2);
  expect(await recall(index, vectors)).toBe(1);
});

test.each([1, 2, 7])("graphs of %i dimensions work", async (few) => {
  const index = await open({ dimensions: few, threshold: 100 });
  const draw = seededClusters(few, { seed: few, clusters: 10 });
  for (let slot = 0; slot < 500; slot++) index.set(slot, draw());
  await index.buildIfDue();
  expect(index.parts.segments).toHaveLength(1);
  expect((await index.nearest(draw(), 5)).slots).toHaveLength(5);
});
