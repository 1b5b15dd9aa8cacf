/** How fast do agents hear of each other, and how much work do they hand on? `npm run bench:coordination -- --help` */
import { parseArgs } from "node:util";
import { createFreshDatabase } from "../test-support/database.ts";
import { startNativePostgres, type NativePostgres } from "../test-support/native-postgres/start.ts";
import {
  coordinationCases,
  nameOf,
  type CoordinationCase,
  type CoordinationResult,
  type Engine,
  type Row,
} from "./coordination/cases.ts";
import type { CaseQuestion } from "./coordination/run-case.ts";
import { table } from "./coordination/table.ts";
import { provenance } from "./harness/machine.ts";
import { askOwnProcess } from "./harness/own-process.ts";
import { writeResults } from "./harness/results.ts";

const usage = `
npm run bench:coordination [-- --engine pglite|native] [--case <text>]... [--rehearsal] [--minutes 5] [--out <folder>]

Durable messages, SQL send to handler, updateStatus, broadcast, what an idle agent costs, a thousand agents that join at once,
and tasks, also beside a million that ended, on the embedded database and on a native Postgres that it starts; and the same
jobs through pg-boss and graphile-worker on that Postgres. Each group has a server in a process of its own.
Results are bench/results/coordination.json and coordination.md. After --minutes it starts no further group and says so.
--case runs the groups whose name contains the text, and writes nothing unless --out says where.
--rehearsal takes a tenth of the time, shows that everything works, and writes nothing unless --out says where.`;

const { values } = parseArgs({
  options: {
    engine: { type: "string" },
    case: { type: "string", multiple: true },
    rehearsal: { type: "boolean", default: false },
    minutes: { type: "string", default: "5" },
    out: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const endsAtMs = Date.now() + minutesOf(values.minutes) * 60_000;
  const engines = enginesOf(values.engine);
  const all = coordinationCases(engines, values.rehearsal);
  const cases = all.filter((one) => values.case?.some((text) => nameOf(one).includes(text)) ?? true);
  if (cases.length === 0) {
    throw new Error(
      `--case: expected part of one of these names, got ${values.case?.join(", ")}\n${all.map(nameOf).join("\n")}`,
    );
  }
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
  const native = engines.includes("native Postgres")
    ? await startNativePostgres({ durable: true, progress: (line) => console.error(line) })
    : undefined;
  try {
    const peers = ["pg-boss", "graphile-worker"];
    const packages = ["@supabase/supabase-js", "@electric-sql/pglite", "pg", ...peers];
    const origin = { ...provenance(packages), postgres: native?.version ?? null };
    const results: CoordinationResult[] = [];
    for (const [done, one] of cases.entries()) {
      if (stopping.signal.aborted) break;
      if (Date.now() > endsAtMs) {
        console.error(`the time is over: ${cases.slice(done).map(nameOf).join("; ")} left out`);
        break;
      }
      const rows = await measure(one, native, stopping.signal);
      results.push(...rows.map((row) => ({ engine: one.engine, group: one.group, ...row })));
      console.error(`${done + 1}/${cases.length} ${nameOf(one)}\n${rows.map(line).join("\n")}`);
    }
    console.log(table(results));
    const isPartial = values.rehearsal || values.case !== undefined || stopping.signal.aborted;
    const folder = values.out ?? (isPartial ? undefined : "bench/results");
    if (folder !== undefined)
      await writeResults(folder, "coordination", { origin, results, table: table(results) });
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    console.error("stopped");
  } finally {
    await native?.stop();
  }
  if (stopping.signal.aborted) process.exitCode = 130;
}

/** On native Postgres every group has a database of its own. */
async function measure(
  coordinationCase: CoordinationCase,
  native: NativePostgres | undefined,
  signal: AbortSignal,
): Promise<Row[]> {
  const file = new URL("coordination/run-case.ts", import.meta.url);
  const ask = async (question: CaseQuestion): Promise<Row[]> =>
    (await askOwnProcess(file, question, signal)) as Row[]; // run-case.ts sends nothing else
  if (coordinationCase.engine === "PGlite" || native === undefined) return await ask({ coordinationCase });
  const database = await createFreshDatabase(native.url);
  try {
    return await ask({ coordinationCase, databaseUrl: database.url });
  } finally {
    await database.drop();
  }
}

function line({ name, perSecond, summary, note }: Row): string {
  const rate = perSecond === undefined ? "" : ` ${perSecond.toLocaleString("en-US")}/s`;
  const times = summary === undefined ? "" : ` p50 ${summary.p50Ms} ms, p99 ${summary.p99Ms} ms`;
  return `  ${name}:${rate}${times}${note === undefined ? "" : ` (${note})`}`;
}

function minutesOf(text: string): number {
  const minutes = Number(text);
  if (minutes > 0 && minutes <= 60) return minutes;
  throw new Error(`--minutes: expected a number up to 60, got ${text}`);
}

function enginesOf(asked: string | undefined): readonly Engine[] {
  switch (asked) {
    case undefined:
      return ["PGlite", "native Postgres"];
    case "pglite":
      return ["PGlite"];
    case "native":
      return ["native Postgres"];
    default:
      throw new Error(`--engine: expected pglite or native, got ${asked}`);
  }
}
