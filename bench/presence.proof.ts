/** Does every agent of a thousand know within a second what another one does? `npm run proof:presence -- --help` */
import { parseArgs } from "node:util";
import { provenance } from "./harness/machine.ts";
import { writeResults } from "./harness/results.ts";
import { summarize } from "./harness/statistics.ts";
import { startSupabaseProcess } from "./harness/supabase.ts";
import { provePresence } from "./presence/prove.ts";

const usage = `
npm run proof:presence [-- --agents 1000 --processes 4 --changes 60 --every-ms 1000 --limits off --out <folder>]

That many agents join one tenant of a local Supabase; then one after the other changes its status, leaves or comes back, and all
others have to show it in getActiveAgents(). Prints how long the last of them took, and exits with 1 when a list is wrong at the
end. The time is counted from the call, not from the moment the database had it. --limits: off, free, pro or team. --out writes presence.json and presence.md there.`;

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "1000" },
    processes: { type: "string", default: "4" },
    changes: { type: "string", default: "60" },
    "every-ms": { type: "string", default: "1000" },
    limits: { type: "string", default: "off" },
    out: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const { agents, processes, changes } = values;
  const limits = (["off", "free", "pro", "team"] as const).find((plan) => plan === values.limits);
  if (limits === undefined)
    throw new Error(`--limits: expected off, free, pro or team, got ${values.limits}`);
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
  const supabase = await startSupabaseProcess({ limits });
  try {
    const proven = await provePresence(supabase, {
      agents: Number(agents),
      processes: Number(processes),
      changes: Number(changes),
      everyMs: Number(values["every-ms"]),
      signal: stopping.signal,
      tell: (line) => console.error(line),
    });
    const results = Object.entries(proven.byKind)
      .filter(([, samplesMs]) => samplesMs.length > 0)
      .map(([kind, samplesMs]) => ({ kind, summary: summarize(samplesMs), samplesMs }));
    const joined = (proven.joinStormMs / 1000).toFixed(1);
    const lines = [
      `${agents} agents joined, ten at a time in each of ${processes} processes: ${joined} s until each knew all.`,
      ...results.map(
        ({ kind, summary: { count, p50Ms, p95Ms, maxMs } }) =>
          `${kind}: ${count}, seen by all after p50 ${p50Ms} ms, p95 ${p95Ms} ms, at most ${maxMs} ms.`,
      ),
      `Wrong lists at the end: ${proven.wrongLists}. Limits: ${limits}.`,
    ];
    console.log(lines.join("\n"));
    if (values.out !== undefined) {
      const origin = { ...provenance(["@supabase/supabase-js", "@electric-sql/pglite"]) };
      await writeResults(values.out, "presence", { origin, results, table: lines.join("\n\n") });
    }
    for (const line of new Set(proven.trouble)) console.error(`  ${line}`);
    if (proven.wrongLists > 0) process.exitCode = 1;
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    console.error("stopped");
    process.exitCode = 130;
  } finally {
    await supabase.close();
  }
}
