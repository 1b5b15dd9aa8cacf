import { roundMs } from "../harness/statistics.ts";
import { nameOf, referenceOf, type RealtimeCase } from "./cases.ts";
import type { Answer } from "./run-case.ts";

export type RealtimeResult = { readonly realtimeCase: RealtimeCase; readonly answer: Answer | null };

/** Markdown, one row per case. The latencies of a flood are those of its full window, not of the server. */
export function table(results: readonly RealtimeResult[]): string {
  const head = [
    "case",
    "deliveries",
    "per second",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "the real server, for reference",
  ];
  const rows = results.map(({ realtimeCase, answer }) => {
    const name = nameOf(realtimeCase);
    const reference = referenceOf(realtimeCase);
    if (answer === null) return [name, "not available", "", "", "", "", reference];
    const { deliveries, totalMs, summary } = answer;
    return [
      name,
      deliveries.toLocaleString("en-US"),
      Math.round((deliveries * 1_000) / totalMs).toLocaleString("en-US"),
      ...[summary.p50Ms, summary.p95Ms, summary.p99Ms].map((ms) => roundMs(ms).toFixed(2)),
      reference,
    ];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const alignment = head.map((_, index) => (index === 0 || index === 6 ? "---" : "--:"));
  return [head, alignment, ...rows].map(line).join("\n");
}
