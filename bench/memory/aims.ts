import { summarize } from "../harness/statistics.ts";
import type { HybridResult } from "./hybrid.ts";
import type { WordsResult } from "./words.ts";
import { short, table, type CaseResult } from "./table.ts";

interface Aim {
  readonly name: string;
  readonly at: string;
  readonly measured: number;
  /** At most, in milliseconds; or at least, where `isLeast`. */
  readonly aim: number;
  readonly isLeast?: boolean;
}

/** What the local store is meant to reach, and what it reached here: met or missed, case by case. */
export function aimsTable(
  results: readonly CaseResult[],
  hybrid: readonly HybridResult[],
  words: readonly WordsResult[] = [],
): string {
  const aims = [
    ...results.filter(({ engine }) => engine === "federation").flatMap(aimsOf),
    ...hybrid.flatMap(aimOfHybrid),
    ...words.flatMap(aimsOfWords),
  ];
  const lines = aims.map(({ name, at, measured, aim, isLeast = false }) => {
    const isMet = isLeast ? measured >= aim : measured <= aim;
    const number = (value: number): string => (name.includes("recall") ? value.toFixed(3) : short(value));
    return [
      name,
      at,
      `${isLeast ? "≥" : "≤"} ${number(aim)}`,
      number(measured),
      isMet ? "met" : "**missed**",
    ];
  });
  return table([["what", "memories", "aim", "measured", ""], ...lines]);
}

function aimsOf({ rows, dimensions, measured }: CaseResult): Aim[] {
  if (measured === undefined) return [];
  const at = `${rows.toLocaleString("en-US")} × ${dimensions}`;
  const p50 = (samplesMs: readonly number[]): number => summarize(samplesMs).p50Ms;
  const aims: Aim[] = [];
  const most = { 1_000: 0.1, 10_000: 0.4, 100_000: 0.7, 1_000_000: 1.6 }[rows];
  if (dimensions === 384 && most !== undefined) {
    const least = rows >= 1_000_000 ? 0.97 : 0.99;
    aims.push({ name: "search p50, ms", at, measured: p50(measured.search.samplesMs), aim: most });
    aims.push({ name: "its recall", at, measured: measured.search.recall, aim: least, isLeast: true });
  }
  if (rows === 100_000 && dimensions === 384 && measured.hundredth !== undefined)
    aims.push({
      name: "search among 1 %, p50, ms",
      at,
      measured: p50(measured.hundredth.samplesMs),
      aim: 0.15,
    });
  if (measured.singleMs !== undefined)
    aims.push({
      name: "acknowledged under `process`, p50, ms",
      at,
      measured: p50(measured.singleMs),
      aim: 0.05,
    });
  aims.push({
    name: "inserts/s under `process`",
    at,
    measured: measured.insertedPerSecond,
    aim: 50_000,
    isLeast: true,
  });
  if (measured.power !== undefined) {
    const { singleMs, flushMs, insertedPerSecond } = measured.power;
    const aim = 1.5 * p50(flushMs) + 0.1;
    aims.push({ name: "acknowledged under `power`, p50, ms", at, measured: p50(singleMs), aim });
    const perSecond = dimensions > 384 ? 20_000 : 50_000;
    aims.push({
      name: "inserts/s under `power`",
      at,
      measured: insertedPerSecond,
      aim: perSecond,
      isLeast: true,
    });
  }
  const reopen = { 100_000: 1_000, 1_000_000: 5_000 }[rows];
  if (reopen !== undefined) aims.push({ name: "reopen, ms", at, measured: measured.reopenMs, aim: reopen });
  return aims;
}

function aimsOfWords({ rows, measured: { searches, heapMb, loopHeldMs } }: WordsResult): Aim[] {
  const at = `${rows.toLocaleString("en-US")} texts`;
  return [
    ...searches.map(({ name, samplesMs }) => ({
      name: `search for ${name}, p95, ms`,
      at,
      measured: summarize(samplesMs).p95Ms,
      aim: 50,
    })),
    { name: "heap and buffers, MB", at, measured: heapMb, aim: 200 },
    { name: "loop held while searching for words, at most, ms", at, measured: loopHeldMs, aim: 10 },
  ];
}

function aimOfHybrid({ name, value }: HybridResult): Aim[] {
  const [, amount, index = ""] = timesTheBare.exec(name) ?? [];
  if (amount !== undefined) {
    const which = index === "" ? "without the HNSW index" : "with the HNSW index";
    return [
      { name: `to a second agent, times a bare insert, ${which}`, at: amount, measured: value, aim: 3 },
    ];
  }
  if (name.endsWith("p50")) return [{ name, at: "", measured: value, aim: 15 }];
  return [];
}

/** What hybrid.ts calls it: with how many memories, and whether the index of embeddings was kept meanwhile. */
const timesTheBare = /^times the bare bulk insert, ([\d,]+)( \(HNSW index\))?$/;
