import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freshTenant } from "../start-stack.node.ts";
import type { CrashServer } from "./crash-engine.node.ts";
import { generator } from "./crash-rows.node.ts";
import { runCrashTrial, type CrashResult, type IdFacts } from "./crash-trial.node.ts";

/** The stack that stores of a proof are in step with. */
export type CrashStack = Omit<CrashServer, "tenantId">;

export interface CrashProof {
  readonly trials: number;
  readonly seed: number;
  /** Stores that are killed at the same time. */
  readonly lanes: number;
  readonly stack: CrashStack;
  readonly onTrial?: ((sum: CrashSum) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CrashSum {
  trials: number;
  acknowledged: number;
  /** Trials under `power`, in step with a server, killed while a graph was built, and while rows waited to be pushed. */
  power: number;
  synced: number;
  building: number;
  pending: number;
  stores: number;
  readonly wrong: string[];
}

const trialsPerStore = 20;

/**
 * Kills the processes of one store after another, `trialsPerStore` times each: every second one under `power`, two of three in step with
 * a server. The same seed gives the same writes, and kills after the same acknowledgements. Resolves when all are through or one was wrong.
 */
export async function proveCrashes(proof: CrashProof): Promise<CrashSum> {
  const { trials, lanes, signal } = proof;
  const folder = await mkdtemp(join(tmpdir(), "federation-crash-"));
  const sum: CrashSum = {
    trials: 0,
    acknowledged: 0,
    power: 0,
    synced: 0,
    building: 0,
    pending: 0,
    stores: 0,
    wrong: [],
  };
  const stores = Math.ceil(trials / trialsPerStore);
  const runLane = async (): Promise<void> => {
    while (sum.stores < stores && sum.wrong.length === 0 && signal?.aborted !== true) {
      const number = sum.stores++;
      const count = Math.min(trialsPerStore, trials - number * trialsPerStore);
      await killOne({ proof, folder, number, count, sum });
    }
  };
  await Promise.all(Array.from({ length: lanes }, runLane));
  if (sum.wrong.length === 0) await rm(folder, { recursive: true, force: true });
  else sum.wrong.push(`the stores are kept in ${folder}`);
  return sum;
}

interface OneStore {
  readonly proof: CrashProof;
  readonly folder: string;
  readonly number: number;
  readonly count: number;
  readonly sum: CrashSum;
}

async function killOne({ proof, folder, number, count, sum }: OneStore): Promise<void> {
  const { seed, stack, signal, onTrial } = proof;
  const store = `store-${number}`;
  const durability = number % 2 === 0 ? "process" : "power";
  const server = number % 3 === 2 ? undefined : { ...stack, tenantId: freshTenant() };
  const ids = new Map<string, IdFacts>();
  const random = generator(seed + number * 1_000_003);
  for (let trial = 0; trial < count && signal?.aborted !== true; trial++) {
    const result = await runCrashTrial({
      dataDir: folder,
      store,
      durability,
      server,
      seed: Math.floor(random() * 2 ** 31),
      acknowledgements: 1 + Math.floor(random() ** 2 * 400),
      laterMs: Math.floor(random() * 60),
      ids,
      settles: trial % 5 === 4 || trial === count - 1,
      signal,
    }).catch((error: unknown): CrashResult | undefined => {
      if (signal?.aborted === true) return undefined;
      const wrong = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
      return { acknowledged: 0, rows: 0, hadBuild: false, hadPending: false, wrong };
    });
    if (result === undefined) return;
    sum.trials += 1;
    sum.acknowledged += result.acknowledged;
    if (durability === "power") sum.power += 1;
    if (server !== undefined) sum.synced += 1;
    if (server !== undefined && result.hadPending) sum.pending += 1;
    if (result.hadBuild) sum.building += 1;
    sum.wrong.push(...result.wrong.map((each) => `${store}, trial ${trial}, ${durability}: ${each}`));
    onTrial?.(sum);
    if (result.wrong.length > 0) return;
  }
  if (signal?.aborted !== true && sum.wrong.length === 0)
    await rm(join(folder, `store-${store}`), { recursive: true, force: true });
}
