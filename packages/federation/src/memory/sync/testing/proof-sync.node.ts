// npm run proof:sync: do all replicas equal the server after quiet, and is nothing acknowledged lost, whatever happened before?
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { anyHistory } from "./any-history.ts";
import { simulate, type Outcome } from "./simulation.ts";

const help = `
npm run proof:sync -- [--histories N] [--seed S] [--keep]

Lives through random histories of several agents, a server, a bad network, processes and servers that die and clocks that are wrong,
in one process and on a simulated clock, and looks after each whether all replicas equal the server and nothing acknowledged is lost.

  --histories N   default 2000
  --seed S        the same histories again
  --keep          writes bench/results/proof-sync.json

Exit code: 0 all is right, 1 something is wrong (the shrunken history is printed), 2 wrong use.`;

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "2000" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) say(help.trim());
else if ([values.histories, values.seed].every((text) => /^\d{1,10}$/.test(text)) && values.histories !== "0")
  process.exitCode = await main(Number(values.histories), Number(values.seed));
else {
  say(`--histories and --seed: expected whole numbers\n${help}`);
  process.exitCode = 2;
}

async function main(histories: number, seed: number): Promise<number> {
  say(`${histories} histories, seed ${seed}`);
  let lived = 0;
  let acknowledged = 0;
  let deadLetters = 0;
  let hasFailed = false;
  const beganMs = performance.now();
  const count = (outcome: Outcome): void => {
    lived += 1;
    acknowledged += outcome.acknowledged;
    deadLetters += outcome.deadLetters;
    if (lived % 500 === 0) say(`${lived} histories, ${acknowledged} writes acknowledged`);
  };
  const property = fc.asyncProperty(anyHistory, async (history) => {
    const outcome = await simulate(history);
    if (!hasFailed) count(outcome); // after that come smaller ones of the one that failed
    if (outcome.wrong.length === 0) return;
    hasFailed = true;
    throw new Error(outcome.wrong.join("; "));
  });
  const details = await fc.check(property, { numRuns: histories, seed });
  const wrong = details.failed ? [fc.defaultReportMessage(details), String(details.errorInstance)] : [];
  const seconds = Math.round((performance.now() - beganMs) / 1_000);
  const facts = { seed, histories: lived, acknowledged, deadLetters, seconds, wrong };
  say(JSON.stringify(facts, undefined, 2));
  if (values.keep) keep(facts);
  return wrong.length > 0 ? 1 : 0;
}

function keep(facts: object): void {
  const folder = fileURLToPath(new URL("../../../../../../bench/results/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const machine = { cpus: cpus().length, cpu: cpus()[0]?.model, platform: platform(), node: process.version };
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  const all = { at: new Date().toISOString(), commit, machine, ...facts };
  writeFileSync(join(folder, "proof-sync.json"), `${JSON.stringify(all, undefined, 2)}\n`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
