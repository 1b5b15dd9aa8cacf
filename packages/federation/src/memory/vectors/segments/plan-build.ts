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
  /** So many rows that are in no large segment become one. */
  readonly largeFrom: number;
  /** And no segment is made of more. */
  readonly mostRows: number;
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
 * Segments of 50,000 rows: mapping one holds the event loop for 5 ms. A search of many of them pays for each: a way in of some hundred rows read
 * from anywhere, however few it is asked for. Four and more become a large one, of up to `mostRows`, for which there is a thread.
 */
export function buildLimits(threshold: number, segmentRows = 50_000, mostRows = 500_000): BuildLimits {
  return {
    threshold,
    tail: Math.ceil(Math.min(threshold, segmentRows) / 2),
    segmentRows,
    largeFrom: Math.min(4 * segmentRows, mostRows),
    mostRows,
    wornShare: 0.25,
  };
}

/** Whether a segment of so many rows takes longer to be mapped than the event loop bears. */
export function isLarge(rows: number, { segmentRows }: BuildLimits): boolean {
  return rows > segmentRows * 1.5;
}

interface Parts {
  readonly tail: number;
  readonly segments: readonly SegmentState[];
}

/**
 * Pure: the large segment that is due, if one is, or is worn. It takes in the large ones that are no larger than the rest of it, so that there
 * are few, each about twice as large as the next, and a row is built again each time their number of rows has doubled.
 */
export function planLarge({ tail, segments }: Parts, limits: BuildLimits): BuildPlan | undefined {
  const { largeFrom, mostRows } = limits;
  const byRows = segments.toSorted((a, b) => a.live - b.live);
  const small = byRows.filter(({ live }) => !isLarge(live, limits));
  const large = byRows.filter(({ live }) => isLarge(live, limits));
  const worn = large.find((segment) => isWorn(segment, limits));
  if (worn === undefined && total(small) + tail < largeFrom) return undefined;
  const replace = worn === undefined ? [] : [worn.number];
  let rows = worn?.live ?? 0;
  const tailRows = Math.min(tail, Math.max(0, mostRows - rows));
  rows += tailRows;
  for (const { number, live } of [...small, ...large]) {
    if (rows + live > mostRows || number === worn?.number) continue;
    if (isLarge(live, limits) && live > rows) continue;
    replace.push(number);
    rows += live;
  }
  return isLarge(rows, limits) ? { build: true, tailRows, replace } : undefined;
}

/**
 * Pure. Undefined while nothing is due. A new segment takes in small ones beside it, so that most segments are full and each row is built
 * about twice. Large ones are left alone. Carried out again and again, it comes to an end.
 */
export function planBuild({ tail, segments }: Parts, limits: BuildLimits): BuildPlan | undefined {
  const byRows = segments.filter(({ live }) => !isLarge(live, limits)).sort((a, b) => a.live - b.live);
  const worn = byRows.filter((segment) => isWorn(segment, limits));
  const isEnough = total(segments) + tail >= limits.threshold;
  const isTailDue = isEnough && tail >= limits.tail;
  if (worn.length === 0 && !isTailDue) return undefined;
  if (!isEnough || (!isTailDue && total(worn) + tail < limits.tail)) {
    // Not worth a segment: what is left of the worn ones is compared row by row.
    return { build: false, tailRows: 0, replace: worn.map(({ number }) => number) };
  }
  const tailRows = Math.min(tail, limits.segmentRows);
  let rows = tailRows;
  const replace: number[] = [];
  for (const segment of [...worn, ...byRows.filter((one) => !isWorn(one, limits))]) {
    const most = isWorn(segment, limits) ? limits.segmentRows * 1.5 : limits.segmentRows;
    if (rows + segment.live > most) continue;
    replace.push(segment.number);
    rows += segment.live;
  }
  return { build: true, tailRows, replace };
}

function isWorn({ rows, live }: SegmentState, { wornShare }: BuildLimits): boolean {
  return live < rows * (1 - wornShare);
}

function total(segments: readonly SegmentState[]): number {
  return segments.reduce((sum, { live }) => sum + live, 0);
}
