// npm run proof:crash: is anything acknowledged ever lost, or half there, when a process is killed?
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startStack } from "../start-stack.node.ts";
import { proveCrashes, type CrashSum } from "./crash-proof.node.ts";

const help = `
npm run proof:crash -- [--trials N] [--seed S] [--lanes L] [--keep]

Kills (-9) processes that insert, update, delete, clean up, compact, build graphs of vectors and sync with a local Supabase, at random
moments, and looks after each kill whether the store opens, has everything that was acknowledged, nothing half-written, and whether
the database has what had left the outbox.

  --trials N   how many kills; default 100
  --seed S     the same writes, and kills after the same acknowledgements; the moment within a write is the machine's
  --lanes L    stores at the same time; default 3
  --keep       writes bench/results/proof-crash.json and .md

Exit code: 0 all is right, 1 something is wrong (the stores are kept), 2 wrong use, 130 interrupted.`;

process.exitCode = await main();

async function main(): Promise<number> {
  const asked = readArguments();
  if (typeof asked === "number") return asked;
  const { trials, seed, lanes, keep } = asked;
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => stop.abort(new Error(signal)));
  say(`${trials} trials, ${lanes} at a time, seed ${seed}\n`);
  const beganMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - beganMs) / 1000);
  await using stack = await startStack();
  const { url, anonKey, jwtSecret, serviceRoleKey } = stack;
  const onTrial = (sum: CrashSum): void => {
    if (process.stdout.isTTY) say(`\r${lineOf(sum, trials)}, ${seconds()} s `);
    else if (sum.trials % 50 === 0) say(`${lineOf(sum, trials)}, ${seconds()} s\n`);
  };
  const parts = { trials, seed, lanes, onTrial, signal: stop.signal };
  const sum = await proveCrashes({ ...parts, stack: { url, anonKey, jwtSecret, serviceRoleKey } });
  say(`\n${lineOf(sum, trials)}, ${seconds()} s, seed ${seed}\n`);
  for (const each of sum.wrong) say(`${each}\n`);
  if (keep && !stop.signal.aborted) writeResults(sum, { ...asked, seconds: seconds() });
  if (sum.wrong.length > 0) say(`Again: npm run proof:crash -- --trials ${trials} --seed ${seed}\n`);
  return sum.wrong.length > 0 ? 1 : stop.signal.aborted ? 130 : 0;
}

interface Asked {
  readonly trials: number;
  readonly seed: number;
  readonly lanes: number;
  readonly keep: boolean;
}

function readArguments(): Asked | number {
  try {
    const { values } = parseArgs({
      options: {
        trials: { type: "string", default: "100" },
        seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
        lanes: { type: "string", default: "3" },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) {
      say(`${help.trim()}\n`);
      return 0;
    }
    const [trials, seed, lanes] = [wholeOf(values.trials), wholeOf(values.seed), wholeOf(values.lanes)];
    if (trials === 0 || lanes === 0) throw new Error("--trials and --lanes: expected 1 or more, got 0");
    return { trials, seed, lanes, keep: values.keep };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${help}\n`);
    return 2;
  }
}

function wholeOf(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new Error(`expected a whole number, got ${text}`);
}

function lineOf({ trials, acknowledged, wrong }: CrashSum, all: number): string {
  return `${trials}/${all} trials, ${acknowledged} acknowledged, ${wrong.length} wrong`;
}

function writeResults(sum: CrashSum, { seed, lanes, seconds }: Asked & { readonly seconds: number }): void {
  const folder = fileURLToPath(new URL("../../../../../../bench/results/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  const machine = { cpus: cpus().length, cpu: cpus()[0]?.model, platform: platform(), node: process.version };
  const facts = { seed, lanes, seconds, commit, at: new Date().toISOString(), machine, ...sum };
  writeFileSync(join(folder, "proof-crash.json"), `${JSON.stringify(facts, undefined, 2)}\n`);
  writeFileSync(join(folder, "proof-crash.md"), tableOf(facts));
}

function tableOf(
  facts: CrashSum & { readonly seed: number; readonly commit: string; readonly at: string },
): string {
  const rows: readonly (readonly [string, string | number])[] = [
    ["kills (-9)", facts.trials],
    ["of them under `power`", facts.power],
    ["in step with a database", facts.synced],
    ["while rows waited to be pushed", facts.pending],
    ["while a graph of vectors was being built", facts.building],
    ["stores", facts.stores],
    ["calls acknowledged before a kill", facts.acknowledged],
    [
      "acknowledged rows lost, rows half-written, stores that did not open, rows wrong in the database",
      facts.wrong.length,
    ],
  ];
  const lines = rows.map(([what, count]) => `| ${what} | ${count} |`);
  return `# Killed processes

\`npm run proof:crash -- --trials ${facts.trials} --seed ${facts.seed} --keep\`, commit ${facts.commit}, ${facts.at.slice(0, 10)}.

| | |
| --- | --- |
${lines.join("\n")}
`;
}

function say(text: string): void {
  process.stdout.write(text);
}
