/** A sealed segment, as the decision sees it: rows it was built from, and how many of them are still as they were. */
export interface SegmentState {
  readonly number: number;
  readonly rows: number;
  readonly live: number;
}

export interface BuildLimits {
  /** Below so many rows in all, comparing with every row is quick enough. */
  readonly threshold: number;
  /** A tail from here on becomes a segment; up to here it costs a search about a millisecond. */
  readonly tail: number;
  /** A segment of which a larger share has changed or gone is built anew. */
  readonly wornShare: number;
}

/** What to do: `replace` are the segments that go; with `build`, their living rows and the tail become one new segment. */
export interface BuildPlan {
  readonly build: boolean;
  readonly replace: readonly number[];
}

export function buildLimits(threshold: number): BuildLimits {
  return { threshold, tail: Math.ceil(threshold / 2), wornShare: 0.25 };
}

/**
 * Pure. Undefined while nothing is due. A new segment takes in the smaller ones beside it, so that there are few of them (some log n), and
 * each row is built few times.
 */
export function planBuild(
  { tail, segments }: { readonly tail: number; readonly segments: readonly SegmentState[] },
  limits: BuildLimits,
): BuildPlan | undefined {
  const total = segments.reduce((sum, { live }) => sum + live, tail);
  const isWorn = ({ rows, live }: SegmentState): boolean => live < rows * (1 - limits.wornShare);
  const worn = segments.filter(isWorn);
  if (worn.length === 0 && tail < limits.tail) return undefined;

  let rows = worn.reduce((sum, { live }) => sum + live, tail);
  if (rows < limits.tail || total < limits.threshold) {
    // Not worth a segment: what is left of the worn ones is compared row by row.
    return worn.length === 0 ? undefined : { build: false, replace: worn.map(({ number }) => number) };
  }
  const replace = worn.map(({ number }) => number);
  const sound = segments
    .filter(({ number }) => !replace.includes(number))
    .toSorted((a, b) => a.live - b.live);
  for (const segment of sound) {
    if (segment.live > 2 * rows) break;
    replace.push(segment.number);
    rows += segment.live;
  }
  return { build: true, replace };
}
