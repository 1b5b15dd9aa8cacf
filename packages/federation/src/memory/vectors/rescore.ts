import type { Candidates } from "./vector-index.ts";

/** The cosine of two vectors of one length, in float64. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let at = 0; at < a.length; at++) {
    const [x, y] = [a[at] ?? 0, b[at] ?? 0];
    dot += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  // The roots apart: the product of two small sums would be zero.
  return dot / (Math.sqrt(squaresA) * Math.sqrt(squaresB));
}

/**
 * How many candidates to ask an index for, so that the true nearest `limit` are among them, and some may turn out not to be wanted: more
 * than are needed.
 */
export function candidatesFor(limit: number): number {
  return neededFor(limit) + 5;
}

/** So many have the true nearest `limit` among them: on clusters of 384 dimensions 15 for 10 and 75 for 50 miss none of 1,000 to 100,000 rows. */
export function neededFor(limit: number): number {
  return Math.ceil(limit * 1.5);
}

/**
 * The candidates by the cosine of the whole vectors, best first, at equal ones the lower slot; at most `limit`. `vectorOf` gives the vector
 * of a slot, or undefined for one that is no longer to be found.
 */
export function rescore(
  query: Float32Array,
  candidates: Candidates,
  { vectorOf, limit }: { vectorOf: (slot: number) => Float32Array | undefined; limit: number },
): Candidates {
  const found: { slot: number; score: number }[] = [];
  for (const slot of candidates.slots) {
    const vector = vectorOf(slot);
    if (vector !== undefined) found.push({ slot, score: cosine(query, vector) });
  }
  found.sort((a, b) => b.score - a.score || a.slot - b.slot);
  const best = found.slice(0, limit);
  return {
    slots: Uint32Array.from(best, ({ slot }) => slot),
    scores: Float32Array.from(best, ({ score }) => score),
  };
}
