/** How much does Realtime carry, and how fast? `npm run bench:realtime -- --help` */
import { parseArgs } from "node:util";
import { provenance } from "./harness/machine.ts";
import { askOwnProcess } from "./harness/own-process.ts";
import { writeResults } from "./harness/results.ts";
import { nameOf, realtimeCases } from "./realtime/cases.ts";
import type { Answer } from "./realtime/run-case.ts";
import { table, type RealtimeResult } from "./realtime/table.ts";

const usage = `
npm run bench:realtime [-- --case <text>]... [--rehearsal] [--out <folder>]

Broadcasts from one to 1, 100 and 1,000, paced and as fast as they go, presence of 1,000, broadcasts from the database,
row changes, REST, and broadcasts beside large inserts. Protocol 2.0.0, payloads of 64 bytes; each case has a server in a
process of its own and its clients in another. Takes about three minutes; results are bench/results/realtime.json and
realtime.md.
--case runs the cases whose name contains the text, and writes nothing unless --out says where.
--rehearsal takes a tenth of the time, shows that everything works, and writes nothing unless --out says where.`;

const { values } = parseArgs({
  options: {
    case: { type: "string", multiple: true },
    rehearsal: { type: "boolean", default: false },
    out: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const wanted = values.case;
  const all = realtimeCases({ isRehearsal: values.rehearsal });
  const cases = all.filter((one) => wanted?.some((text) => nameOf(one).includes(text)) ?? true);
  if (cases.length === 0) {
    throw new Error(
      `--case: expected part of one of these names, got ${wanted?.join(", ")}\n${all.map(nameOf).join("\n")}`,
    );
  }
  const origin = { ...provenance(["@electric-sql/pglite", "ws"]) };
  const file = new URL("realtime/run-case.ts", import.meta.url);
  const results: RealtimeResult[] = [];
  for (const realtimeCase of cases) {
    const answer = (await askOwnProcess(file, realtimeCase)) as Answer | null; // run-case.ts sends nothing else
    results.push({ realtimeCase, answer });
    console.error(`${results.length}/${cases.length} ${line({ realtimeCase, answer })}`);
  }
  console.log(table(results));
  const isPartial = values.rehearsal || wanted !== undefined;
  const folder = values.out ?? (isPartial ? undefined : "bench/results");
  if (folder !== undefined)
    await writeResults(folder, "realtime", { origin, results, table: table(results) });
}

function line({ realtimeCase, answer }: RealtimeResult): string {
  if (answer === null) return `${nameOf(realtimeCase)}: not available`;
  const { deliveries, totalMs, summary } = answer;
  const perSecond = Math.round((deliveries * 1_000) / totalMs).toLocaleString("en-US");
  return `${nameOf(realtimeCase)}: ${perSecond}/s, p50 ${summary.p50Ms} ms, p99 ${summary.p99Ms} ms`;
}
