/** What keeps the first places from counting for everything: the constant of reciprocal rank fusion, as the database has it. */
const rankOffset = 60;

/**
 * Reciprocal rank fusion: the score of a key is the sum of 1 / (60 + its place) over the lists that have it, places from 1. Best first;
 * of equals the one that comes first in the first list, then in the next. Pure.
 */
export function fuseRanks(
  lists: readonly (readonly string[])[],
): { readonly key: string; readonly score: number }[] {
  const scores = new Map<string, number>();
  for (const list of lists) {
    for (const [index, key] of list.entries())
      scores.set(key, (scores.get(key) ?? 0) + 1 / (rankOffset + index + 1));
  }
  return [...scores].map(([key, score]) => ({ key, score })).toSorted((a, b) => b.score - a.score);
}
