import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import { candidatesFor, rescore } from "../rescore.ts";
import {
  SegmentedVectorIndex,
  type SegmentedVectorIndexOptions,
} from "../segments/segmented-vector-index.node.ts";
import { seededClusters } from "./vectors.ts";

export const dimensions = 48;
export const threshold = 2000;

/** Of the test that runs. */
export let folder: string;
export let errors: string[];
const opened: SegmentedVectorIndex[] = [];

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "segments-")), "index");
  errors = [];
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((index) => index.close()));
  await rm(join(folder, ".."), { recursive: true });
});

export async function open(
  options: Partial<SegmentedVectorIndexOptions> = {},
): Promise<SegmentedVectorIndex> {
  const index = await SegmentedVectorIndex.open({
    folder,
    dimensions,
    threshold,
    log: (level, message) => void (level === "error" && errors.push(message)),
    ...options,
  });
  opened.push(index);
  return index;
}

export function someVectors(count: number, seed = 1): Float32Array[] {
  return Array.from({ length: count }, seededClusters(dimensions, { seed, clusters: 40 }));
}

export function fill(index: SegmentedVectorIndex, vectors: readonly (Float32Array | undefined)[]): void {
  for (const [slot, vector] of vectors.entries()) if (vector !== undefined) index.set(slot, vector);
}

/** The share of the true nearest ten that a search and the rescoring of its candidates find, and that all of it is there. */
export async function recall(
  index: SegmentedVectorIndex,
  vectors: readonly (Float32Array | undefined)[],
): Promise<number> {
  const limit = 10;
  const vectorOf = (slot: number): Float32Array | undefined => vectors[slot];
  const all = { slots: Uint32Array.from(vectors.keys()), scores: new Float32Array(vectors.length) };
  let hits = 0;
  // Of the same clusters as the vectors, and none of them.
  const queries = someVectors(8200).slice(-50);
  for (const query of queries) {
    const candidates = await index.nearest(query, candidatesFor(limit));
    for (const slot of candidates.slots) expect(vectors[slot]).toBeDefined();
    const found = rescore(query, candidates, { vectorOf, limit }).slots;
    const truth = rescore(query, all, { vectorOf, limit }).slots;
    hits += found.filter((slot) => truth.includes(slot)).length;
  }
  return hits / (queries.length * limit);
}
