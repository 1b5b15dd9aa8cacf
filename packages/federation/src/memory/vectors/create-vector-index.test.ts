import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createVectorIndex } from "./create-vector-index.ts";
import { cosine } from "./rescore.ts";
import { decodeVector } from "./quantise.ts";
import { anyVector, seededClusters, seededRandom } from "./testing/vectors.ts";
import { Turns } from "../turns.ts";

const kinds = [
  ["the kernel", true],
  ["plain JavaScript", false],
] as const;

test("the kernel and plain JavaScript find the same candidates with the same scores", async () => {
  const anyCase = fc.integer({ min: 1, max: 70 }).chain((dimensions) =>
    fc.record({
      dimensions: fc.constant(dimensions),
      vectors: fc.array(anyVector(dimensions), { minLength: 1, maxLength: 40 }),
      query: anyVector(dimensions),
      count: fc.integer({ min: 1, max: 50 }),
      among: fc.uniqueArray(fc.nat(80), { maxLength: 40 }),
      removed: fc.array(fc.nat(80), { maxLength: 10 }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(anyCase, async ({ dimensions, vectors, query, count, among, removed }) => {
      const [fast, plain] = [true, false].map((simd) => {
        const index = createVectorIndex(dimensions, { simd });
        for (const [slot, vector] of vectors.entries()) index.set(slot * 2, vector);
        for (const slot of removed) index.remove(slot);
        return index;
      });
      const narrow = { among: Uint32Array.from(among).toSorted() };
      expect(await fast?.nearest(query, count)).toEqual(await plain?.nearest(query, count));
      expect(await fast?.nearest(query, count, narrow)).toEqual(await plain?.nearest(query, count, narrow));
    }),
  );
});

test.each([64, 79, 100, 384, 1_536])(
  "rows of %d dimensions that are left half-way are not among the nearest",
  async (dimensions) => {
    const random = seededRandom(dimensions);
    const draw = seededClusters(dimensions, { seed: dimensions, clusters: 12 });
    const within = (vector: Float32Array, from: number, to: number): Float32Array =>
      vector.map((value, at) => (at >= from * dimensions && at < to * dimensions ? value : 0));
    const vectors = Array.from({ length: 400 }, draw);
    // Nothing at first and everything at the end; the reverse; and the same again, which must give way by its slot alone.
    for (const vector of vectors.slice(0, 60))
      vectors.push(within(vector, 0.5, 1), within(vector, 0, 0.25), within(vector, 0.25, 0.5), vector);
    const [fast, plain] = [true, false].map((simd) => {
      const index = createVectorIndex(dimensions, { simd });
      for (const [slot, vector] of vectors.entries()) index.set(slot, vector);
      return index;
    });
    const queries = [...Array.from({ length: 40 }, draw), ...vectors.slice(395, 440)];
    for (const query of queries) {
      const count = 1 + Math.floor(random() * 20);
      const among = Uint32Array.from(vectors.keys()).filter(() => random() < 0.5);
      expect(await fast?.nearest(query, count)).toEqual(await plain?.nearest(query, count));
      expect(await fast?.nearest(query, count, { among })).toEqual(
        await plain?.nearest(query, count, { among }),
      );
    }
  },
);

test("the largest sums that there are, of 4,096 equal numbers, fit", async () => {
  const ones = new Float32Array(4_096).fill(1);
  const index = createVectorIndex(4_096, { simd: true });
  for (let slot = 0; slot < 9; slot++) index.set(slot, slot % 2 === 0 ? ones : ones.map((one) => -one));
  expect((await index.nearest(ones, 5)).slots).toEqual(Uint32Array.of(0, 2, 4, 6, 8));
  expect((await index.nearest(ones, 9)).slots).toEqual(Uint32Array.of(0, 2, 4, 6, 8, 1, 3, 5, 7));
});

describe.each(kinds)("%s", (_, simd) => {
  const create = (dimensions: number) => createVectorIndex(dimensions, { simd });

  test("the nearest of all are those of a comparison with every decoded row", async () => {
    const anyCase = fc.integer({ min: 1, max: 40 }).chain((dimensions) =>
      fc.record({
        vectors: fc.array(anyVector(dimensions), { minLength: 1, maxLength: 60 }),
        query: anyVector(dimensions),
        count: fc.integer({ min: 1, max: 20 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(anyCase, async ({ vectors, query, count }) => {
        const index = create(query.length);
        for (const [slot, vector] of vectors.entries()) index.set(slot, vector);
        const { slots, scores } = await index.nearest(query, count);
        const truth = vectors.map((vector) => cosine(query, decodeVector(index.encode(vector))));
        const best = truth.toSorted((a, b) => b - a).slice(0, count);
        expect(scores).toHaveLength(best.length);
        // The query has 12 bits: a comparison is off by less than half a step in each dimension.
        const slack = (0.5 * query.length) / 4095 + 1e-5;
        for (const [place, score] of scores.entries()) {
          expect(Math.abs(score - (best[place] ?? 0))).toBeLessThan(slack);
          expect(Math.abs(score - (truth[slots[place] ?? -1] ?? 9))).toBeLessThan(slack);
        }
        expect(scores).toEqual(scores.toSorted((a, b) => b - a));
      }),
    );
  });

  test.each([1, 15, 16, 17, 384, 1000, 1536, 4096])("%i dimensions", async (dimensions) => {
    const draw = seededClusters(dimensions, { seed: dimensions, clusters: 3 });
    const index = create(dimensions);
    const vectors = Array.from({ length: 9 }, draw);
    for (const [slot, vector] of vectors.entries()) index.set(slot, vector);
    for (const vector of vectors) {
      const { scores } = await index.nearest(vector, 1);
      expect(scores[0]).toBeGreaterThan(0.999);
    }
  });

  test("values at the limits of 4,096 dimensions do not overflow", async () => {
    const index = create(4096);
    index.set(0, new Float32Array(4096).fill(1));
    index.set(1, new Float32Array(4096).fill(-1));
    const { slots, scores } = await index.nearest(new Float32Array(4096).fill(3e38), 2);
    expect([...slots]).toEqual([0, 1]);
    expect(scores[0]).toBeCloseTo(1, 5);
    expect(scores[1]).toBeCloseTo(-1, 5);
  });
});

test("a slot is replaced, removed and used again", async () => {
  const index = createVectorIndex(3);
  const [x, y] = [Float32Array.of(1, 0, 0), Float32Array.of(0, 1, 0)];
  index.set(7, x);
  index.set(7, y);
  expect(index.size).toBe(1);
  expect((await index.nearest(x, 1)).scores[0]).toBeCloseTo(0);
  index.remove(7);
  index.remove(7);
  index.remove(99_999);
  expect(index.size).toBe(0);
  expect((await index.nearest(x, 1)).slots).toHaveLength(0);
  expect(index.readEncoded(7)).toBeUndefined();
  index.setEncoded(7, index.encode(x));
  expect(index.readEncoded(7)).toEqual(index.encode(x));
  expect([...(await index.nearest(x, 5)).slots]).toEqual([7]);
});

test("equal vectors come in the order of their slots", async () => {
  const index = createVectorIndex(2);
  for (const slot of [9, 3, 5, 1, 8]) index.set(slot, Float32Array.of(1, 1));
  expect([...(await index.nearest(Float32Array.of(1, 1), 3)).slots]).toEqual([1, 3, 5]);
});

test("a search is narrowed to the slots it names, also to empty ones and to none", async () => {
  const index = createVectorIndex(2);
  for (let slot = 0; slot < 20; slot++) index.set(slot, Float32Array.of(1, slot));
  const query = Float32Array.of(1, 0);
  const among = async (...slots: number[]): Promise<number[]> => [
    ...(await index.nearest(query, 2, { among: Uint32Array.from(slots) })).slots,
  ];
  expect(await among(5, 11, 19, 500, 4_000_000_000)).toEqual([5, 11]);
  expect(await among()).toEqual([]);
  expect(await among(500)).toEqual([]);
});

test("what is no slot, no vector of the index, or no encoding of one is refused", async () => {
  const index = createVectorIndex(2);
  const vector = Float32Array.of(1, 2);
  expect(() => index.set(-1, vector)).toThrow(RangeError);
  expect(() => index.set(1.5, vector)).toThrow(RangeError);
  expect(() => index.set(0, Float32Array.of(1))).toThrow("expected 2 dimensions");
  expect(() => index.setEncoded(0, new Uint8Array(6))).toThrow("expected a positive scale");
  expect(() => index.setEncoded(0, new Uint8Array(7))).toThrow("expected 6 bytes");
  await expect(index.nearest(Float32Array.of(0, 0), 1)).rejects.toThrow(RangeError);
  expect(() => createVectorIndex(4097)).toThrow(RangeError);
  expect(() => createVectorIndex(0)).toThrow(RangeError);
});

test("more candidates than the kernel's heap holds are found as well", async () => {
  const index = createVectorIndex(2);
  for (let slot = 0; slot < 5000; slot++) index.set(slot, Float32Array.of(1, slot / 5000));
  const { slots } = await index.nearest(Float32Array.of(1, 0), 4500);
  expect(slots).toHaveLength(4500);
  expect(new Set(slots).size).toBe(4500);
});

test.each(kinds)("rows of several memories are searched as one by %s", async (_, simd) => {
  const draw = seededClusters(100, { seed: 5, clusters: 4 });
  const one = createVectorIndex(100, { simd });
  // 585 rows a memory.
  const many = createVectorIndex(100, { simd, memoryBytes: 131_072 + 65_536 });
  for (let slot = 0; slot < 3000; slot += slot === 900 ? 700 : 1) {
    const vector = draw();
    one.set(slot, vector);
    many.set(slot, vector);
  }
  const among = Uint32Array.from({ length: 1000 }, (_unused, at) => at * 3);
  for (let round = 0; round < 5; round++) {
    const query = draw();
    expect(await many.nearest(query, 20)).toEqual(await one.nearest(query, 20));
    expect(await many.nearest(query, 20, { among })).toEqual(await one.nearest(query, 20, { among }));
  }
});

describe("a search that takes several turns", () => {
  /** Every piece of work ends the turn, and the next begins when the test says so. */
  function steppedTurns(): { turns: Turns; step: () => Promise<boolean> } {
    const due: (() => void)[] = [];
    const turns = new Turns({ limitMs: 0, afterTurn: (then) => void due.push(then) });
    return {
      turns,
      async step() {
        const then = due.shift();
        then?.();
        for (let tick = 0; tick < 20; tick++) await Promise.resolve();
        return then !== undefined;
      },
    };
  }

  const slots = 9000; // of 1,040 bytes: nine pieces

  function filled(turns: Turns, draw: () => Float32Array) {
    const index = createVectorIndex(1024, { turns });
    const patterns = Array.from({ length: 50 }, draw);
    for (let slot = 0; slot < slots; slot++) {
      const vector = patterns[slot % 50] ?? draw();
      index.set(slot, vector);
    }
    return index;
  }

  test("answers for the moment at which it resolves, whatever is written meanwhile", async () => {
    const random = seededRandom(11);
    const draw = seededClusters(1024, { seed: 3, clusters: 5 });
    const { turns, step } = steppedTurns();
    const index = filled(turns, draw);
    const among = Uint32Array.from({ length: slots / 2 }, (_, at) => at * 2);
    for (const narrowed of [undefined, among]) {
      for (let round = 0; round < 6; round++) {
        const query = draw();
        const search = index.nearest(query, 10, narrowed === undefined ? {} : { among: narrowed });
        let steps = 0;
        let resolved: Awaited<typeof search> | undefined;
        void search.then((found) => (resolved = found));
        while (resolved === undefined) {
          for (let write = 0; write < 3; write++) {
            const slot = Math.floor(random() * slots);
            if (random() < 0.4) index.remove(slot);
            else index.set(slot, random() < 0.5 ? query : draw());
          }
          await step();
          steps += 1;
        }
        expect(steps).toBeGreaterThan(3);
        // The same search alone sees what is there now.
        const again = index.nearest(query, 10, narrowed === undefined ? {} : { among: narrowed });
        let truth: Awaited<typeof search> | undefined;
        void again.then((found) => (truth = found));
        while (truth === undefined) await step();
        expect(resolved).toEqual(truth);
      }
    }
  });

  test("starts again when writes took more candidates than it had to spare", async () => {
    const draw = seededClusters(1024, { seed: 4, clusters: 5 });
    const { turns, step } = steppedTurns();
    const index = filled(turns, draw);
    const query = draw();
    for (let slot = 0; slot < 200; slot++) index.set(slot, query);
    let found: { slots: Uint32Array } | undefined;
    void index.nearest(query, 20).then((candidates) => (found = candidates));
    await step();
    for (let slot = 0; slot < 180; slot++) index.remove(slot);
    while (found === undefined) await step();
    expect([...found.slots]).toEqual(Array.from({ length: 20 }, (_, at) => 180 + at));
  });

  test("ends with the reason of its signal, and leaves the index usable", async () => {
    const draw = seededClusters(1024, { seed: 6, clusters: 5 });
    const { turns, step } = steppedTurns();
    const index = filled(turns, draw);
    const stop = new AbortController();
    const reason = new Error("enough");
    const search = index.nearest(draw(), 5, { signal: stop.signal });
    const refused = expect(search).rejects.toBe(reason);
    await step();
    stop.abort(reason);
    await step();
    await refused;
    await expect(index.nearest(draw(), 5, { signal: stop.signal })).rejects.toBe(reason);
    index.set(3, draw());
  });

  test("searches take turns, first come, first served", async () => {
    const draw = seededClusters(1024, { seed: 8, clusters: 5 });
    const { turns, step } = steppedTurns();
    const index = filled(turns, draw);
    const ended: number[] = [];
    const searches = [0, 1, 2].map((number) => index.nearest(draw(), 5).then(() => ended.push(number)));
    while (await step());
    await Promise.all(searches);
    expect(ended).toEqual([0, 1, 2]);
  });
});
