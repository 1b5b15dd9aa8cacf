import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { lookAtStore, type Said } from "./crash-check.node.ts";
import type { ChildOrders, CrashStore } from "./crash-store.node.ts";

export interface CrashTrial extends CrashStore {
  readonly seed: number;
  /** The child is killed when so many writes were acknowledged, and then so many milliseconds have passed. */
  readonly acknowledgements: number;
  readonly laterMs: number;
  /** Of each id, from the trials before; changed by this one. */
  readonly ids: Map<string, IdFacts>;
  /** Brings the store in step with the server afterwards, and compares the two. */
  readonly settles?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface IdFacts {
  /** The generation that was found after the last trial; 0 for none. */
  held: number;
  /** The highest that was ever tried. */
  used: number;
}

export interface CrashResult {
  readonly acknowledged: number;
  readonly rows: number;
  /** What the kill left: whether a graph was being built, and whether rows waited to be pushed. */
  readonly hadBuild: boolean;
  readonly hadPending: boolean;
  /** What must not be: empty. */
  readonly wrong: readonly string[];
}

/** Kills a process that writes, opens what it left, and compares that with what it had said. */
export async function runCrashTrial(trial: CrashTrial): Promise<CrashResult> {
  const said = await writeUntilKilled(trial);
  trial.signal?.throwIfAborted();
  const found = await lookAtStore(trial, said);
  return { ...found, acknowledged: said.acknowledged };
}

async function writeUntilKilled(trial: CrashTrial): Promise<Said> {
  const { dataDir, store, durability, server, seed, ids, acknowledgements, laterMs, signal } = trial;
  const used = Object.fromEntries(Array.from(ids, ([id, facts]) => [id, facts.used]));
  const orders: ChildOrders = { dataDir, store, durability, server, seed, used };
  const script = fileURLToPath(new URL("crash-child.node.ts", import.meta.url));
  const args = ["--import", "tsx", "--conditions=@agent-federation/source", script, JSON.stringify(orders)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  const kill = (): void => void child.kill("SIGKILL");
  signal?.addEventListener("abort", kill, { once: true });
  const said: Said = { tried: new Map(), done: new Map(), groups: [], acknowledged: 0 };
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, ...rest] = line.split(" ");
    const group: [string, number][] = [];
    for (let at = 0; at + 1 < rest.length; at += 2) group.push([rest[at] ?? "", Number(rest[at + 1])]);
    const generations = word === "try" ? said.tried : said.done;
    for (const [id, generation] of group) generations.set(id, Math.max(generation, generations.get(id) ?? 0));
    if (word === "try") said.groups.push(group);
    else if ((said.acknowledged += 1) === acknowledgements) setTimeout(kill, laterMs);
  }
  const [, by] = (await exited) as [number | null, NodeJS.Signals | null]; // as node documents it
  signal?.removeEventListener("abort", kill);
  if (by !== "SIGKILL")
    throw new Error(`the child ended by itself, after ${said.acknowledged}: ${complaint}`);
  return said;
}
