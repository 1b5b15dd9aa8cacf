/** How fast are memories stored and found on this machine, beside what else there is? `npm run bench:memory -- --help` */
import { mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createFreshDatabase } from "../test-support/database.ts";
import { startNativePostgres, type NativePostgres } from "../test-support/native-postgres/start.ts";
import { askOwnProcess } from "./harness/own-process.ts";
import { provenance } from "./harness/machine.ts";
import { writeResults } from "./harness/results.ts";
import { summarize } from "./harness/statistics.ts";
import { aimsTable } from "./memory/aims.ts";
import { engineNames, mostRowsOf, nameOf, type EngineName, type MemoryCase } from "./memory/cases.ts";
import { hybridTable, measureHybrid, type HybridResult } from "./memory/hybrid.ts";
import { installPeer } from "./memory/peers.ts";
import type { CaseMeasured, CaseQuestion } from "./memory/run-case.ts";
import { acknowledgementTable, engineTables, graphTable, type CaseResult } from "./memory/table.ts";
import { measureWords, wordsTable, type WordsResult } from "./memory/words.ts";

const usage = `
npm run bench:memory [-- --size 1000,10000] [-- --dimensions 384] [-- --engine federation,usearch] [-- --hybrid [--hnsw]] [-- --words] [-- --out <folder>]

Stores and finds memories in the local store, by the door that agents use, and in other engines: inserts, searches with
their recall, filtered searches, reopening, memory, disk; each case in its own process. Peers are installed into a
temporary folder when they are asked for. --hybrid measures instead how long the last of the sizes takes to a second
agent, and a change to its events; with --hnsw the index of embeddings is kept meanwhile, there and in the bare table beside it.
--words finds words in the last of the sizes of texts in the local store.

  --size        of 1000, 10000, 100000, 1000000; default the first three
  --dimensions  of 384, 1536; default 384
  --engine      of ${engineNames.join(", ")}; default all
  --out         default bench/results: memory.json, memory.md. Cases that are in the file already are replaced, others stay
  --data        where vectors and peers are kept for the next run; default a folder in ${tmpdir()}

A thousand take a minute, a hundred thousand ten, a million of the local store alone ten. Ctrl-C ends it; what was
measured by then is written.`;

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "1000,10000,100000" },
    dimensions: { type: "string", default: "384" },
    engine: { type: "string", default: engineNames.join(",") },
    hybrid: { type: "boolean", default: false },
    hnsw: { type: "boolean", default: false },
    words: { type: "boolean", default: false },
    out: { type: "string", default: "bench/results" },
    data: { type: "string", default: join(tmpdir(), "agent-federation-bench-memory") },
    help: { type: "boolean", short: "h", default: false },
  },
});
const notes = `Ten nearest by cosine, of a seeded mixture of Gaussians; recall against exact answers. 1 % and 10 % are searches among the memories of one agent.
Measured are the packages as they are built. Of our own store, which is JavaScript, 24,000 rows are stored in two other stores of the process before anything is measured, so that its code is compiled.
Insert is batches of 1,000; what "inserted" promises differs: ours has it in the journal, pgvector on the disk, usearch and agentdb in memory.
Memory is what the process has to itself beyond the vectors it was given; of pgvector the server's is not in it. Disk of pgvector is not in it either.
Every case has its own commit, time and load average in the JSON file.`;

type Result = CaseResult | HybridResult | WordsResult;
const lastSize = Number(values.size.split(",").at(-1));
let native: Promise<NativePostgres> | undefined;
const stopping = new AbortController();
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const cases = casesOf(values);
  process.once("SIGINT", () => stopping.abort(new Error("interrupted")));
  process.once("SIGTERM", () => stopping.abort(new Error("ended")));
  const results = new Map<string, Result>(read().map((result) => [keyOf(result), result]));
  try {
    if (values.hybrid) await addHybrid(results);
    else if (values.words) await addWords(results);
    else for (const each of cases) await addCase(each, results);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    await (await native)?.stop();
  }
}

async function addCase(each: MemoryCase, results: Map<string, Result>): Promise<void> {
  stopping.signal.throwIfAborted();
  mkdirSync(values.data, { recursive: true });
  const prepared = new URL("memory/prepare.ts", import.meta.url);
  await askOwnProcess(prepared, { data: values.data, size: each }, stopping.signal);
  const result = await measure(each);
  results.set(keyOf(result), result);
  const { measured, missing } = result;
  const told =
    measured === undefined
      ? missing
      : `search p50 ${summarize(measured.search.samplesMs).p50Ms} ms at recall ${measured.search.recall}`;
  console.error(`${nameOf(each)}: ${told}`);
  await write([...results.values()]);
}

async function addHybrid(results: Map<string, Result>): Promise<void> {
  native ??= startNativePostgres({ durable: true });
  const database = await createFreshDatabase((await native).url);
  for await (const result of measureHybrid(database.url, {
    rows: lastSize,
    hnsw: values.hnsw,
    signal: stopping.signal,
  })) {
    results.set(keyOf(result), result);
    console.error(`${result.name}: ${result.value} ${result.unit}`);
    await write([...results.values()]);
  }
}

async function addWords(results: Map<string, Result>): Promise<void> {
  const { commit, at, loadAverage } = provenance([]);
  const measured = await measureWords(lastSize, stopping.signal);
  const result = { kind: "words" as const, rows: lastSize, commit, at, loadAverage, measured };
  results.set(keyOf(result), result);
  console.error(wordsTable([result]));
  await write([...results.values()]);
}

async function measure(memoryCase: MemoryCase): Promise<CaseResult> {
  const { commit, at, loadAverage } = provenance([]);
  const result = { kind: "engine" as const, ...memoryCase, commit, at, loadAverage };
  const most = mostRowsOf[memoryCase.engine] ?? Infinity;
  if (memoryCase.rows > most)
    return {
      ...result,
      missing: `not measured beyond ${most.toLocaleString("en-US")}: it would take too long`,
    };
  const peers = join(values.data, "peers");
  const missing = await installPeer(peers, memoryCase.engine);
  if (missing !== undefined) return { ...result, missing };
  const needsPostgres = memoryCase.engine === "pgvector";
  if (needsPostgres) native ??= startNativePostgres({ durable: true, settings: ["shared_buffers=1GB"] });
  const server = needsPostgres ? await native : undefined;
  const database = server === undefined ? undefined : await createFreshDatabase(server.url);
  try {
    const question: CaseQuestion = { memoryCase, data: values.data, peers, databaseUrl: database?.url };
    const file = new URL("memory/run-case.ts", import.meta.url);
    const measured = (await askOwnProcess(file, question, stopping.signal)) as CaseMeasured; // it sends nothing else
    return { ...result, measured };
  } catch (error) {
    if (stopping.signal.aborted) throw error;
    return { ...result, missing: `did not run: ${error instanceof Error ? error.message : String(error)}` };
  } finally {
    await database?.drop();
  }
}

function casesOf(asked: Pick<typeof values, "size" | "dimensions" | "engine">): MemoryCase[] {
  const numbers = (text: string, name: string): number[] =>
    text.split(",").map((each) => {
      const number = Number(each);
      if (!Number.isInteger(number) || number < 1)
        throw new Error(`--${name}: expected whole numbers, got ${text}`);
      return number;
    });
  const engines = asked.engine.split(",").map((name): EngineName => {
    const known = engineNames.find((each) => each === name);
    if (known === undefined) throw new Error(`--engine: expected ${engineNames.join(", ")}, got ${name}`);
    return known;
  });
  const sizes = numbers(asked.size, "size");
  return numbers(asked.dimensions, "dimensions").flatMap((dimensions) =>
    sizes.flatMap((rows) => engines.map((engine) => ({ engine, dimensions, rows }))),
  );
}

function keyOf(result: Result): string {
  if (result.kind === "words") return `words ${result.rows}`;
  return result.kind === "hybrid" ? `hybrid ${result.name}` : nameOf(result);
}

/** What earlier runs left in the file. */
function read(): Result[] {
  try {
    const file = readFileSync(join(values.out, "memory.json"), "utf8");
    return (JSON.parse(file) as { results: Result[] }).results; // write() made it
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

async function write(results: readonly Result[]): Promise<void> {
  const engines = results.filter((each) => each.kind === "engine");
  const hybrid = results.filter((each) => each.kind === "hybrid");
  const words = results.filter((each) => each.kind === "words");
  const server = await native;
  const origin = {
    ...provenance(["usearch", "lmdb", "pg"]),
    ...(server === undefined ? {} : { postgres: server.version }),
  };
  const graphs = graphTable(engines);
  const table = [
    notes,
    engineTables(engines),
    ...(graphs === undefined
      ? []
      : ["## Graphs that searches without a filter go by, in the local store", graphs]),
    "## Acknowledged, in the local store",
    acknowledgementTable(engines.filter((each) => each.engine === "federation")),
    "## Aims",
    aimsTable(engines, hybrid, words),
    ...(words.length === 0 ? [] : ["## Words, in the local store", wordsTable(words)]),
    ...(hybrid.length === 0 ? [] : ["## From agent to agent", hybridTable(hybrid)]),
  ].join("\n\n");
  await writeResults(values.out, "memory", { origin, results, table });
}
