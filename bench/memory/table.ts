import { roundMs, summarize } from "../harness/statistics.ts";
import { engineNames, engineTitles, type MemoryCase } from "./cases.ts";
import type { CaseMeasured, Searched } from "./run-case.ts";

export interface CaseResult extends MemoryCase {
  readonly kind: "engine";
  /** When and on which commit; cases of one file may come from several runs. */
  readonly at: string;
  readonly commit: string;
  readonly loadAverage: number;
  readonly measured?: CaseMeasured;
  /** Why there is nothing. */
  readonly missing?: string;
}

/** A table a dimension and size: rows are engines. */
export function engineTables(results: readonly CaseResult[]): string {
  const sizes = [...new Set(results.map(({ dimensions, rows }) => `${dimensions} ${rows}`))]
    .map((key) => key.split(" ").map(Number) as [number, number]) // made just above
    .toSorted(([a, b], [c, d]) => a - c || b - d);
  return sizes
    .map(([dimensions, rows]) => {
      const of = results
        .filter((each) => each.dimensions === dimensions && each.rows === rows)
        .toSorted((a, b) => engineNames.indexOf(a.engine) - engineNames.indexOf(b.engine));
      const missing = of.filter((each) => each.missing !== undefined);
      return [
        `## ${rows.toLocaleString("en-US")} memories of ${dimensions} dimensions`,
        table([head, ...of.flatMap(lineOf)]),
        ...missing.map(({ engine, missing: why }) => `${engineTitles[engine]}: ${why}`),
      ].join("\n\n");
    })
    .join("\n\n");
}

const head = [
  "engine",
  "insert/s",
  "search p50 / p95 / p99 ms",
  "recall",
  "1 % p50 ms (recall)",
  "10 % p50 ms (recall)",
  "reopen ms",
  "memory MB",
  "disk MB",
];

function lineOf({ engine, measured }: CaseResult): string[][] {
  if (measured === undefined) return [];
  const { search, hundredth, tenth, reopenMs, memoryMb, diskMb } = measured;
  const { p50Ms, p95Ms, p99Ms } = summarize(search.samplesMs);
  return [
    [
      engineTitles[engine],
      measured.insertedPerSecond.toLocaleString("en-US"),
      [p50Ms, p95Ms, p99Ms].map(short).join(" / "),
      search.recall.toFixed(3),
      filtered(hundredth),
      filtered(tenth),
      short(reopenMs),
      String(memoryMb),
      String(diskMb),
    ],
  ];
}

/** By what our own store found its candidates, where it says so. */
export function graphTable(results: readonly CaseResult[]): string | undefined {
  const lines = results
    .toSorted((a, b) => a.dimensions - b.dimensions || a.rows - b.rows)
    .flatMap(({ dimensions, rows, measured }) => {
      if (measured?.graphs === undefined) return [];
      const { segments, rowsInTail } = measured.graphs;
      const sizes = segments.map((size) => size.toLocaleString("en-US")).join(" + ");
      return [
        [
          `${rows.toLocaleString("en-US")} × ${dimensions}`,
          segments.length === 0 ? "none" : sizes,
          rowsInTail.toLocaleString("en-US"),
          (measured.finishedMs / 1_000).toFixed(1),
        ],
      ];
    });
  if (lines.length === 0) return undefined;
  return table([
    ["rows", "graphs, of so many", "compared one by one", "built after the last insert, s"],
    ...lines,
  ]);
}

/** What our own store promises beside: acknowledgements, and how long it holds the event loop. */
export function acknowledgementTable(results: readonly CaseResult[]): string {
  const lines = results
    .toSorted((a, b) => a.dimensions - b.dimensions || a.rows - b.rows)
    .flatMap(({ dimensions, rows, measured }) => {
      if (measured?.singleMs === undefined || measured.power === undefined) return [];
      const single = summarize(measured.singleMs);
      const power = summarize(measured.power.singleMs);
      return [
        [
          `${rows.toLocaleString("en-US")} × ${dimensions}`,
          `${short(single.p50Ms)} / ${short(single.p99Ms)}`,
          measured.insertedPerSecond.toLocaleString("en-US"),
          `${short(power.p50Ms)} / ${short(power.p99Ms)}`,
          short(summarize(measured.power.flushMs).p50Ms),
          measured.power.insertedPerSecond.toLocaleString("en-US"),
          `${short(measured.loopHeldMs?.inserting ?? 0)} / ${short(measured.loopHeldMs?.searching ?? 0)}`,
        ],
      ];
    });
  const columns = [
    "rows",
    "`process`: one at a time, p50 / p99 ms",
    "in batches, rows/s",
    "`power`: one at a time, p50 / p99 ms",
    "write and flush of this disk, p50 ms",
    "in batches, rows/s",
    "loop held at most, inserting / searching, ms",
  ];
  return table([columns, ...lines]);
}

export function table([columns = [], ...lines]: readonly (readonly string[])[]): string {
  const alignment = columns.map((_, at) => (at === 0 ? "---" : "--:"));
  return [columns, alignment, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function filtered(searched: Searched | undefined): string {
  if (searched === undefined) return "";
  return `${short(summarize(searched.samplesMs).p50Ms)} (${searched.recall.toFixed(2)})`;
}

export function short(ms: number): string {
  return ms >= 100
    ? Math.round(ms).toLocaleString("en-US")
    : ms >= 10
      ? ms.toFixed(1)
      : roundMs(ms).toFixed(3);
}
