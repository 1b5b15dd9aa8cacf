import type { Measured } from "../harness/load.ts";
import { roundMs, type Summary } from "../harness/statistics.ts";
import type { RestCase } from "./cases.ts";

export interface RestResult extends RestCase, Measured {
  readonly summary: Summary;
}

/** Markdown, one row per case. Bulk inserts are counted in rows, everything else in requests. */
export function table(results: readonly RestResult[]): string {
  const head = [
    "engine",
    "operation",
    "client",
    "at once",
    "samples",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "per second",
  ];
  const rows = results.map(
    ({ engine, operation, client, load, rowsPerRequest, samplesMs, totalMs, summary }) => {
      const perSecond = Math.round((samplesMs.length * rowsPerRequest * 1_000) / totalMs).toLocaleString(
        "en-US",
      );
      return [
        engine,
        rowsPerRequest === 1 ? operation : `${operation}, ${rowsPerRequest} rows`,
        client,
        load.concurrency,
        summary.count,
        ...[summary.p50Ms, summary.p95Ms, summary.p99Ms].map((ms) => roundMs(ms).toFixed(2)),
        rowsPerRequest === 1 ? `${perSecond} requests` : `${perSecond} rows`,
      ];
    },
  );
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  const alignment = head.map((_, index) => (index < 3 ? "---" : "--:"));
  return [head, alignment, ...rows].map(line).join("\n");
}
