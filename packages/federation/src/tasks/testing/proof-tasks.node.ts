// npm run proof:tasks: is a task ever lost, or done twice, when its worker is killed or freezes, and how soon is it done elsewhere?
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startLocalSupabase } from "@agent-federation/local-supabase";
import { createRealtimeHub } from "../../realtime-hub.ts";
import { strikeWorker, WorkerProcess, type KillResult } from "./kill-trial.node.ts";

const help = `
npm run proof:tasks -- [--kills N] [--freezes N] [--keep]

Starts a local Supabase and two workers in processes of their own, and kills (-9) one of them in the middle of its tasks, again and
again, at random moments; then freezes one for a minute (SIGSTOP, SIGCONT), whose late results must change nothing. After each, every
task must be completed once, what a killed worker held be claimed by the other within 5 s and what a frozen one held within 30 s, and
each late result be kept as superseded. Prints how soon that was.

  --kills N     default 50
  --freezes N   default 1; each takes a minute
  --keep        writes bench/results/proof-tasks.json and .md

Exit code: 0 all is right, 1 something is wrong, 2 wrong use.`;

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    freezes: { type: "string", default: "1" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) say(help.trim());
else process.exitCode = await main(countOf(values.kills), countOf(values.freezes));

async function main(kills: number | undefined, freezes: number | undefined): Promise<number> {
  if (kills === undefined || freezes === undefined) {
    say(`--kills and --freezes: expected whole numbers\n${help}`);
    return 2;
  }
  const migrationsDir = fileURLToPath(new URL("../../../../../supabase/migrations/", import.meta.url));
  const stack = await startLocalSupabase({ port: 0, migrationsDir });
  const { url, anonKey, jwtSecret } = stack;
  const tenant = "proof";
  const place = { url, anonKey, jwtSecret, tenant };
  const boss = createRealtimeHub("boss", tenant, { url, anonKey, jwtSecret });
  await boss.initialize();
  const workers: WorkerProcess[] = [];
  let started = 0;
  const start = async (): Promise<void> =>
    void workers.push(await WorkerProcess.start(`worker-${++started}`, place));
  const killed: KillResult[] = [];
  const frozen: (KillResult & { readonly superseded: number })[] = [];
  try {
    await start();
    await start();
    for (let round = 0; round < kills; round++) {
      const victim = workers.shift();
      if (victim === undefined) break;
      const takesMs = 50 + Math.floor(Math.random() * 400);
      const tasks = Array.from({ length: 8 }, (_, index) => `kill-${round}-${index}`);
      const strike = async (): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * takesMs));
        victim.signal("SIGKILL");
      };
      killed.push(await strikeWorker({ boss, victim, tasks, takesMs, strike }));
      await victim.end();
      await start();
      if (round % 10 === 9) say(`${round + 1} kills, ${wrongOf(killed).length} wrong`);
    }
    for (let round = 0; round < freezes; round++) {
      const [victim] = workers;
      if (victim === undefined) break;
      const tasks = Array.from({ length: 8 }, (_, index) => `freeze-${round}-${index}`);
      const before = victim.claimed.length;
      const strike = async (): Promise<void> => {
        await victim.hasClaimed(before + 3); // as many as it does at once, all of them under way
        victim.signal("SIGSTOP");
      };
      const beganMs = performance.now();
      const result = await strikeWorker({ boss, victim, tasks, takesMs: 1_000, strike });
      await new Promise((resolve) =>
        setTimeout(resolve, Math.max(0, 60_000 - (performance.now() - beganMs))),
      );
      victim.signal("SIGCONT");
      frozen.push({ ...result, superseded: await lateResults(boss, result.held) });
      say(`${round + 1} freezes, ${wrongOf(frozen).length} wrong`);
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.end()));
    await boss.shutdown();
    await stack.close();
  }
  const facts = {
    kills: killed.length,
    held: killed.reduce((sum, { held }) => sum + held.length, 0),
    killedElsewhereMs: spread(killed.flatMap(({ elsewhereMs }) => elsewhereMs)),
    freezes: frozen.length,
    frozenHeld: frozen.reduce((sum, { held }) => sum + held.length, 0),
    frozenElsewhereMs: spread(frozen.flatMap(({ elsewhereMs }) => elsewhereMs)),
    superseded: frozen.reduce((sum, { superseded }) => sum + superseded, 0),
    wrong: [
      ...wrongOf(killed),
      ...wrongOf(frozen),
      ...tooLate("killed", killed, 5_000),
      ...tooLate("frozen", frozen, 30_000),
      ...frozen
        .filter(({ held, superseded }) => superseded !== held.length)
        .map(({ held, superseded }) => `${superseded} of ${held.length} late results are kept`),
    ],
  };
  say(JSON.stringify(facts, undefined, 2));
  if (values.keep) keep(facts);
  return facts.wrong.length > 0 ? 1 : 0;
}

/** The frozen worker goes on where it was; what it brings is kept beside the task. Waits for that, a minute at most. */
async function lateResults(
  boss: ReturnType<typeof createRealtimeHub>,
  held: readonly string[],
): Promise<number> {
  for (let tries = 0; ; tries++) {
    const tasks = await Promise.all(held.map((id) => boss.getTask(id)));
    const late = tasks.filter(
      (task) => (task?.["superseded_results"] as unknown[] | undefined)?.length === 1,
    );
    if (late.length === held.length || tries === 120) return late.length;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function wrongOf(results: readonly KillResult[]): string[] {
  return results.flatMap(({ wrong }) => wrong);
}

function tooLate(what: string, results: readonly KillResult[], withinMs: number): string[] {
  const late = results.flatMap(({ elsewhereMs }) => elsewhereMs).filter((ms) => ms > withinMs);
  return late.map((ms) => `a task of a ${what} worker was claimed after ${Math.round(ms)} ms`);
}

function spread(samples: readonly number[]): {
  readonly count: number;
  readonly p50: number;
  readonly max: number;
} {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
  return { count: sorted.length, p50: at(0.5), max: at(1) };
}

function keep(facts: object): void {
  const folder = fileURLToPath(new URL("../../../../../bench/results/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const machine = { cpus: cpus().length, cpu: cpus()[0]?.model, platform: platform(), node: process.version };
  const all = { at: new Date().toISOString(), machine, ...facts };
  writeFileSync(join(folder, "proof-tasks.json"), `${JSON.stringify(all, undefined, 2)}\n`);
  const rows = Object.entries(facts).map(([name, value]) => `| ${name} | ${JSON.stringify(value)} |`);
  writeFileSync(
    join(folder, "proof-tasks.md"),
    `# Killed and frozen workers\n\n\`npm run proof:tasks -- --keep\`, ${all.at.slice(0, 10)}. Milliseconds until another worker had claimed what the worker held.\n\n| | |\n| --- | --- |\n${rows.join("\n")}\n`,
  );
}

function countOf(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
