import fc from "fast-check";
import { violations } from "./check.ts";
import { histories, type HistoryKinds, type Step } from "./history.ts";
import { World, type Server } from "./world.ts";

/** One history from its beginning to its end; throws with every violation. */
export async function live(server: Server, steps: readonly Step[], works: boolean): Promise<void> {
  const world = await World.open(server, works);
  try {
    for (const step of steps) await world.take(step);
    const found = violations(await world.end());
    if (found.length > 0) throw new Error([...found, ...(await world.facts())].join("\n"));
  } finally {
    await world.close();
  }
}

export interface SoakOptions extends HistoryKinds {
  readonly seed: number;
  /** Of a failure that was shrunk, as it was printed. */
  readonly path?: string;
  readonly runs: number;
  readonly timeLimitMs?: number;
  readonly onHistory?: (count: number) => void;
}

/**
 * Random histories until one fails, so many have passed, or the time is over. A failure says how to replay it, and is shrunk when it is
 * replayed: each smaller history that fails as well takes a minute to be sure.
 */
export async function soak(server: Server, options: SoakOptions): Promise<fc.RunDetails<[readonly Step[]]>> {
  const { seed, path, runs, timeLimitMs, onHistory } = options;
  let count = 0;
  let current: Promise<void> = Promise.resolve();
  const property = fc.asyncProperty(histories(options), async (steps) => {
    current = live(server, steps, options.tasks);
    await current;
    onHistory?.(++count);
  });
  const details = await fc.check(property, {
    seed,
    numRuns: runs,
    ...(path === undefined ? { endOnFailure: true } : { path }),
    ...(timeLimitMs === undefined
      ? {}
      : { interruptAfterTimeLimit: timeLimitMs, markInterruptAsFailure: false }),
  });
  await current.catch(() => {}); // when the time is over, what runs is not waited for by fast-check
  return details;
}

/** What to print of a failure. */
export function failureOf({
  failed,
  seed,
  counterexample,
  counterexamplePath,
  errorInstance,
}: fc.RunDetails<[readonly Step[]]>): string | undefined {
  if (!failed) return undefined;
  const steps = (counterexample?.[0] ?? []).map((step) => `  ${JSON.stringify(step)}`);
  const reason = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  return `${reason}\nafter\n${steps.join("\n")}\nagain with --seed ${seed} --path ${counterexamplePath ?? ""}`;
}
