import { roundMs } from "../harness/statistics.ts";
import type { CoordinationResult } from "./cases.ts";

/** Markdown, one row per figure. The latencies of what runs as fast as it goes are those of a full queue. */
export function table(results: readonly CoordinationResult[]): string {
  const head = ["on", "what", "count", "per second", "p50 ms", "p95 ms", "p99 ms", "remark"];
  const rows = results.map(({ engine, name, count, perSecond, summary, note }) => [
    engine,
    name,
    count.toLocaleString("en-US"),
    perSecond?.toLocaleString("en-US") ?? "",
    ...[summary?.p50Ms, summary?.p95Ms, summary?.p99Ms].map((ms) =>
      ms === undefined ? "" : roundMs(ms).toFixed(2),
    ),
    note ?? "",
  ]);
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const alignment = head.map((_, index) => (index < 2 || index === 7 ? "---" : "--:"));
  return [head, alignment, ...rows].map(line).join("\n");
}
