import { roundMs } from "./statistics.ts";

export interface Load {
  /** Requests under way at once. */
  readonly concurrency: number;
  readonly warmUp: number;
  /** The loop ends at the earlier of these two. */
  readonly maxRequests: number;
  readonly maxMs: number;
}

export interface Measured {
  readonly samplesMs: readonly number[];
  readonly totalMs: number;
}

/** Calls `request` in `concurrency` lanes, each next one when the last has ended. A failing request fails the run. */
export async function applyLoad(load: Load, request: (index: number) => Promise<void>): Promise<Measured> {
  await inLanes(load.concurrency, numbers(load.warmUp), request);
  const samplesMs: number[] = [];
  const start = performance.now();
  const isOver = (): boolean => performance.now() - start >= load.maxMs;
  await inLanes(load.concurrency, numbers(load.maxRequests, load.warmUp, isOver), async (index) => {
    const begun = performance.now();
    await request(index);
    samplesMs.push(roundMs(performance.now() - begun));
  });
  return { samplesMs, totalMs: roundMs(performance.now() - start) };
}

function* numbers(count: number, from = 0, isOver = (): boolean => false): Generator<number> {
  for (let index = from; index < from + count && !isOver(); index++) yield index;
}

async function inLanes(
  lanes: number,
  indexes: Generator<number>,
  run: (index: number) => Promise<void>,
): Promise<void> {
  const lane = async (): Promise<void> => {
    for (let next = indexes.next(); next.done !== true; next = indexes.next()) await run(next.value);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
