/** So many rows tell what a query has in common with any row. */
export const sampleSize = 128;

/**
 * Whether a score is no better than what the best of `rows` unrelated rows reach by chance. A graph finds its way by neighbours being alike;
 * for a query that is like nothing in it, it finds less than half of what is nearest (seen), and comparing with every row is due.
 *
 * `worst` is the score of the last of `count` candidates, `sample` are scores of any rows. Of n values of a normal distribution, `count`
 * lie beyond a little less than √(2 ln(n / count)) deviations; the sample knows a deviation to some 6 %.
 */
export function isByChance(
  worst: number,
  { sample, count, rows }: { sample: Float32Array; count: number; rows: number },
): boolean {
  if (sample.length < 2 || rows <= count) return true;
  const mean = sample.reduce((sum, score) => sum + score, 0) / sample.length;
  const squares = sample.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (sample.length - 1));
  return worst < mean + 1.15 * deviation * Math.sqrt(2 * Math.log(rows / count));
}

/** Slots spread over all there are, ascending. */
export function sampleSlots(slotsEnd: number): Uint32Array {
  const size = Math.min(sampleSize, slotsEnd);
  return Uint32Array.from({ length: size }, (_, at) => Math.floor((at * slotsEnd) / size));
}
