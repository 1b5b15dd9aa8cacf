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
  /** A segment is made of about so many rows, and never of more than half as much again. */
  readonly segmentRows: number;
  /** A segment of which a larger share has changed or gone is built anew. */
  readonly wornShare: number;
}

/** What to do: `replace` are the segments that go; with `build`, their living rows and `tailRows` of the tail become one new segment. */
export interface BuildPlan {
  readonly build: boolean;
  readonly tailRows: number;
  readonly replace: readonly number[];
}

/**
 * Segments of 50,000 rows: mapping one holds the event loop for 5 ms, one of a million for 100 to 200 ms. The price is paid in searches of very
 * many rows: each graph costs a way in of some hundred rows read from anywhere, however few it is asked for.
 */
export function buildLimits(threshold: number, segmentRows = 50_000): BuildLimits {
  return { threshold, tail: Math.ceil(Math.min(threshold, segmentRows) / 2), segmentRows, wornShare: 0.25 };
}

/**
 * Pure. Undefined while nothing is due. A new segment takes in small ones beside it, so that most segments are full and each row is built
 * about twice. Carried out again and again, it comes to an end.
 */
export function planBuild(
  { tail, segments }: { readonly tail: number; readonly segments: readonly SegmentState[] },
  limits: BuildLimits,
): BuildPlan | undefined {
  const isWorn = ({ rows, live }: SegmentState): boolean => live < rows * (1 - limits.wornShare);
  const byRows = segments.toSorted((a, b) => a.live - b.live);
  const worn = byRows.filter(isWorn);
  const isLarge = total(segments) + tail >= limits.threshold;
  const isTailDue = isLarge && tail >= limits.tail;
  if (worn.length === 0 && !isTailDue) return undefined;
  if (!isLarge || (!isTailDue && total(worn) + tail < limits.tail)) {
    // Not worth a segment: what is left of the worn ones is compared row by row.
    return { build: false, tailRows: 0, replace: worn.map(({ number }) => number) };
  }
  const tailRows = Math.min(tail, limits.segmentRows);
  let rows = tailRows;
  const replace: number[] = [];
  for (const segment of [...worn, ...byRows.filter((one) => !isWorn(one))]) {
    const most = isWorn(segment) ? limits.segmentRows * 1.5 : limits.segmentRows;
    if (rows + segment.live > most) continue;
    replace.push(segment.number);
    rows += segment.live;
  }
  return { build: true, tailRows, replace };
}

function total(segments: readonly SegmentState[]): number {
  return segments.reduce((sum, { live }) => sum + live, 0);
}
