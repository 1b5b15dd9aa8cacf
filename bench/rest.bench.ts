/** How fast is REST under row level security, embedded and on native Postgres? `npm run bench:rest -- --help` */
import { parseArgs } from "node:util";
import { createFreshDatabase } from "../test-support/database.ts";
import { startNativePostgres, type NativePostgres } from "../test-support/native-postgres/start.ts";
import { askOwnProcess } from "./harness/own-process.ts";
import type { Measured } from "./harness/load.ts";
import { provenance } from "./harness/machine.ts";
import { writeResults } from "./harness/results.ts";
import { summarize } from "./harness/statistics.ts";
import { nameOf, restCases, type Engine, type RestCase } from "./rest/cases.ts";
import type { CaseQuestion } from "./rest/run-case.ts";
import { table, type RestResult } from "./rest/table.ts";

const usage = `
npm run bench:rest [-- --engine pglite|native] [-- --rehearsal] [-- --out <folder>]

Insert, select, update and rpc under row level security, 1 and 16 at once, and bulk inserts of 1,000 rows, each case in
its own process with a server of its own. Takes about four minutes; results are bench/results/rest.json and rest.md.
--rehearsal takes a tenth of the time, shows that everything works, and writes nothing unless --out says where.`;

const { values } = parseArgs({
  options: {
    engine: { type: "string" },
    rehearsal: { type: "boolean", default: false },
    out: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const engines = enginesOf(values.engine);
  const native = engines.includes("native Postgres")
    ? await startNativePostgres({ durable: true, progress: (line) => console.error(line) })
    : undefined;
  try {
    const packages = ["@supabase/supabase-js", "@electric-sql/pglite", "@electric-sql/pglite-pgvector", "pg"];
    const origin = { ...provenance(packages), postgres: native?.version ?? null };
    const results: RestResult[] = [];
    for (const restCase of restCases({ engines, isRehearsal: values.rehearsal })) {
      const measured = await measure(restCase, native);
      const result = { ...restCase, ...measured, summary: summarize(measured.samplesMs) };
      results.push(result);
      const { p50Ms, p99Ms } = result.summary;
      console.error(`${nameOf(restCase)}: p50 ${p50Ms} ms, p99 ${p99Ms} ms`);
    }
    console.log(table(results));
    const folder = values.out ?? (values.rehearsal ? undefined : "bench/results");
    if (folder !== undefined) await writeResults(folder, "rest", { origin, results, table: table(results) });
  } finally {
    await native?.stop();
  }
}

/** On native Postgres every case has a database of its own. */
async function measure(restCase: RestCase, native: NativePostgres | undefined): Promise<Measured> {
  const file = new URL("rest/run-case.ts", import.meta.url);
  const ask = async (question: CaseQuestion): Promise<Measured> =>
    (await askOwnProcess(file, question)) as Measured; // run-case.ts sends nothing else
  if (restCase.engine === "PGlite" || native === undefined) return await ask({ restCase, serve: {} });
  const database = await createFreshDatabase(native.url);
  try {
    return await ask({ restCase, serve: { databaseUrl: database.url } });
  } finally {
    await database.drop();
  }
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
