import { describe, expect, test } from "vitest";
import { dimensions, errors, fill, open, recall, someVectors } from "../testing/segments.node.ts";
import { seededRandom } from "../testing/vectors.ts";
import { GraphThread } from "./graph-thread.node.ts";
import { WritePace } from "./write-pace.ts";

describe("a segment too large for the event loop", () => {
  const small = { threshold: 300, segmentRows: 300 };

  test("is built of many vectors, and searched in a thread of its own, also when it is opened again", async () => {
    const vectors = someVectors(3000);
    const first = await open(small);
    fill(first, vectors);
    await first.buildIfDue();
    expect(first.parts).toEqual({ tail: 0, segments: [{ rows: 3000, live: 3000 }] });
    expect(await recall(first, vectors)).toBeGreaterThanOrEqual(0.99);
    await first.close();
    const again = await open(small);
    fill(again, vectors);
    expect(again.parts).toEqual({ tail: 0, segments: [{ rows: 3000, live: 3000 }] });
    const searches = someVectors(20, 3).map((query) => again.nearest(query, 10));
    for (const { slots } of await Promise.all(searches)) expect(slots).toHaveLength(10);
    expect(await recall(again, vectors)).toBeGreaterThanOrEqual(0.99);
    expect(errors).toEqual([]);
  });

  test("takes the place of small ones, while writes and searches go on", async () => {
    const vectors: (Float32Array | undefined)[] = someVectors(1100);
    const index = await open(small);
    for (const [slot, vector] of vectors.entries()) {
      index.set(slot, vector ?? new Float32Array(dimensions));
      if (slot % 300 === 299) await index.buildIfDue();
    }
    expect(index.parts.segments).toHaveLength(3);
    const random = seededRandom(4);
    const fresh = someVectors(4000, 8);
    vectors.push(...someVectors(400, 5));
    fill(index, vectors);
    let isBuilding = true;
    const building = index.buildIfDue().then(() => (isBuilding = false));
    let rounds = 0;
    for (; isBuilding && rounds < fresh.length; rounds++) {
      const slot = Math.floor(random() * 1600);
      const vector = random() < 0.3 ? undefined : fresh[rounds];
      if (vector === undefined) index.remove(slot);
      else index.set(slot, vector);
      vectors[slot] = vector;
      if (vector !== undefined) expect((await index.nearest(vector, 1)).scores[0]).toBeGreaterThan(0.99);
      await new Promise(setImmediate);
    }
    await building;
    expect(rounds).toBeGreaterThan(10);
    const live = index.parts.segments.reduce((sum, segment) => sum + segment.live, 0);
    expect(live + index.parts.tail).toBe(index.size);
    expect(Math.max(...index.parts.segments.map(({ rows }) => rows))).toBeGreaterThan(450);
    expect(await recall(index, Array.from(vectors))).toBeGreaterThanOrEqual(0.99);
    expect(errors).toEqual([]);
  });

  test("whose thread fails is done without, and small ones are built", async () => {
    const vectors = someVectors(2000);
    const first = await open(small);
    fill(first, vectors);
    await first.buildIfDue();
    await first.close();
    const again = await open({
      ...small,
      openLarge: (file, onFailure) => new GraphThread({ ...file, path: `${file.path}.missing` }, onFailure),
    });
    fill(again, vectors);
    expect((await again.nearest(vectors[0] ?? new Float32Array(dimensions), 5)).slots).toHaveLength(5);
    expect(errors).toEqual(["a thread that searches a vector segment failed: graphs are made smaller"]);
    expect(again.parts).toEqual({ tail: 2000, segments: [] });
    await again.buildIfDue();
    expect(again.parts.segments.length).toBeGreaterThan(4);
    expect(await recall(again, vectors)).toBeGreaterThanOrEqual(0.99);
  });
});

test("large graphs wait until writes no longer come quickly, and are built then without being asked for", async () => {
  let nowMs = 0;
  let wake = (): void => {};
  let tellBuilt = (): void => {};
  const log = (level: string): void => void (level === "debug" && tellBuilt());
  let tellPostponed = (): void => {};
  const postponed = new Promise<void>((resolve) => (tellPostponed = resolve));
  const after = (_ms: number, then: () => void): (() => void) => {
    wake = then;
    tellPostponed();
    return () => {};
  };
  const pace = new WritePace({ nowMs: () => nowMs, after });
  const index = await open({ threshold: 200, segmentRows: 200, pace, log });
  index.startBuilding();
  // As many writes as there are between two looks, and a turn after them, for only one look is taken in a turn.
  for (let look = 0; look < 3; look++) {
    for (let write = 0; write < 1_000; write++) fill(index, someVectors(1));
    await new Promise(setImmediate);
  }
  fill(index, someVectors(3000));
  await new Promise(setImmediate);
  fill(index, someVectors(1));
  await postponed;
  await new Promise(setImmediate);
  expect(index.parts.segments.length).toBeGreaterThan(5);
  for (const { rows } of index.parts.segments) expect(rows).toBeLessThanOrEqual(300);
  const built = new Promise<void>((resolve) => (tellBuilt = resolve));
  nowMs = 10_000;
  wake();
  await built;
  expect(Math.max(...index.parts.segments.map(({ rows }) => rows))).toBeGreaterThan(1_000);
});
