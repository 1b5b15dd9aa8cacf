import { askOwnProcess } from "../harness/own-process.ts";
import { summarize } from "../harness/statistics.ts";
import { short, table } from "./table.ts";
import type { WordsMeasured } from "./words-case.ts";

export interface WordsResult {
  readonly kind: "words";
  readonly rows: number;
  readonly at: string;
  readonly commit: string;
  readonly loadAverage: number;
  readonly measured: WordsMeasured;
}

/** Texts of sixty words in a local store, and how fast their words are found. */
export async function measureWords(rows: number, signal: AbortSignal): Promise<WordsMeasured> {
  const file = new URL("words-case.ts", import.meta.url);
  return (await askOwnProcess(file, { rows }, signal)) as WordsMeasured; // it sends nothing else
}

export function wordsTable(results: readonly WordsResult[]): string {
  const lines = results.flatMap(({ rows, measured }) =>
    measured.searches.map(({ name, samplesMs }) => {
      const { p50Ms, p95Ms, p99Ms } = summarize(samplesMs);
      return [name, rows.toLocaleString("en-US"), [p50Ms, p95Ms, p99Ms].map(short).join(" / ")];
    }),
  );
  const beside = results.map(
    ({ rows, measured: { insertedPerSecond, reopenMs, heapMb, loopHeldMs } }) =>
      `${rows.toLocaleString("en-US")} texts: ${insertedPerSecond.toLocaleString("en-US")} stored a second, opened again in ${short(reopenMs)} ms, ` +
      `${heapMb} MB of heap and buffers, loop held at most ${short(loopHeldMs)} ms while searching.`,
  );
  return [table([["looked for", "memories", "p50 / p95 / p99 ms"], ...lines]), ...beside].join("\n\n");
}
