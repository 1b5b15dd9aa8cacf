/** What do very many memories of one tenant cost on native Postgres? `npm run bench:memory-scale -- --help` */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startLocalSupabase } from "@agent-federation/local-supabase";
import { createSupabaseAdapter, mintAgentToken } from "agent-federation";
import pg from "pg";
import { startNativePostgres } from "../test-support/native-postgres/start.ts";
import { createFreshDatabase } from "../test-support/database.ts";
import { provenance } from "./harness/machine.ts";
import { writeResults } from "./harness/results.ts";
import { roundMs, summarize } from "./harness/statistics.ts";
import { contentOf, idOf, Mixture, ownerOf, owners } from "./memory/data.ts";

const usage = `
npm run bench:memory-scale [-- --rows 1000000] [-- --dimensions 384] [-- --out <folder>]

Stores that many memories of one tenant in a native Postgres through push_memories, builds the HNSW index, and measures
inserts, searches with their recall, sizes, and how long a new agent takes to have the newest 100,000. A million takes
half an hour and 8 GB of disk; results are bench/results/memory-scale.json and .md.`;

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "1000000" },
    dimensions: { type: "string", default: "384" },
    out: { type: "string", default: "bench/results" },
    help: { type: "boolean", short: "h", default: false },
  },
});
const tenant = "scale";
const [rows, dimensions] = [Number(values.rows), Number(values.dimensions)];
const say = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  if (!(rows >= 1_000 && dimensions >= 1))
    throw new Error(`expected --rows from 1000 and --dimensions, got ${rows} and ${dimensions}`);
  const postgres = await startNativePostgres({
    durable: true,
    settings: ["shared_buffers=1GB", "work_mem=64MB"],
  });
  // Ctrl-C ends the server, which is a process group of its own.
  process.once("SIGINT", () => void postgres.stop().then(() => process.exit(130)));
  try {
    const origin = { ...provenance(["pg"]), postgres: postgres.version };
    const results = await measure((await createFreshDatabase(postgres.url)).url);
    const lines = results.map(
      ({ name, value, unit }) => `| ${name} | ${value.toLocaleString("en-US")} | ${unit} |`,
    );
    const table = ["| what | value | unit |", "| --- | --: | --- |", ...lines].join("\n");
    console.log(table);
    await writeResults(values.out, "memory-scale", { origin, results, table });
  } finally {
    await postgres.stop();
  }
}

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly samplesMs?: readonly number[];
}

async function measure(databaseUrl: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  const note = (name: string, value: number, unit: string, samplesMs?: readonly number[]): void => {
    say(`${name}: ${value} ${unit}`);
    figures.push({ name, value, unit, ...(samplesMs === undefined ? {} : { samplesMs }) });
  };
  const migrationsDir = fileURLToPath(new URL("../supabase/migrations", import.meta.url));
  await (await startLocalSupabase({ port: 0, databaseUrl, migrationsDir })).close();
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const mixture = new Mixture({ dimensions, rows, seed: 1 });
    const one = async (sql: string, parameters: unknown[] = []): Promise<number> =>
      Number(Object.values((await client.query<Record<string, unknown>>(sql, parameters)).rows[0] ?? {})[0]);
    const push = async (from: number, to: number): Promise<number> => {
      const started = performance.now();
      for (let at = from; at < to; at += 1_000)
        await pushBatch(client, mixture, at, Math.min(to, at + 1_000));
      return roundMs(((to - from) * 1_000) / (performance.now() - started));
    };
    note("memories", rows, "rows");
    for (let at = 0, step = Math.min(rows, 100_000); at < rows; at += step)
      note(
        `insert up to ${(at + step).toLocaleString("en-US")}, no index yet`,
        await push(at, Math.min(rows, at + step)),
        "rows/s",
      );
    note(
      "table with its vectors",
      Math.round((await one("select pg_table_size('public.agent_memories')")) / 1e6),
      "MB",
    );
    note(
      "its other indexes",
      Math.round((await one("select pg_indexes_size('public.agent_memories')")) / 1e6),
      "MB",
    );
    const statement = await client.query<{ statement: string }>(
      "select memory_index_statement($1) as statement",
      [dimensions],
    );
    await client.query("set maintenance_work_mem = '3GB'");
    await client.query("set max_parallel_maintenance_workers = 1");
    const began = performance.now();
    await client.query(statement.rows[0]?.statement ?? "");
    note(
      "building the HNSW index, two processes, maintenance_work_mem 3 GB",
      Math.round((performance.now() - began) / 1_000),
      "s",
    );
    note(
      "HNSW index",
      Math.round((await one(`select pg_relation_size('public.agent_memories_hnsw_${dimensions}')`)) / 1e6),
      "MB",
    );
    await client.query("vacuum analyze public.agent_memories");
    await search(client, mixture, note);
    note("insert with the index", await push(rows, rows + 5_000), "rows/s");
  } finally {
    await client.end();
  }
  await join100k(databaseUrl, note);
  return figures;
}

type Note = (name: string, value: number, unit: string, samplesMs?: readonly number[]) => void;

async function pushBatch(client: pg.Client, mixture: Mixture, from: number, to: number): Promise<void> {
  const clock = Date.now();
  const texts: string[] = [];
  for (let row = from; row < to; row++) {
    const embedding = Array.from(mixture.draw(), (value) => value.toFixed(5)).join(",");
    texts.push(
      `{"id":"${idOf(row)}","agent_id":"${ownerOf(row)}","content":"${contentOf(row)}","embedding":[${embedding}],` +
        `"hlc":{"ms":${clock},"counter":${row % 2 ** 20},"writer":"scale"}}`,
    );
  }
  await client.query("select count(*) from push_memories($1::jsonb, true, null, $2)", [
    `[${texts.join(",")}]`,
    tenant,
  ]);
}

/** Through find_memories, as adapters search; what is true comes from an exact scan. */
async function search(client: pg.Client, mixture: Mixture, note: Note): Promise<void> {
  const kinds: readonly { name: string; agent?: string; count: number }[] = [
    { name: "search, top 10", count: 200 },
    { name: "search among 1 %", agent: owners.hundredth, count: 50 },
    { name: "search among 10 %", agent: owners.tenth, count: 50 },
  ];
  for (const { name, agent, count } of kinds) {
    const samplesMs: number[] = [];
    let hits = 0;
    let truths = 0;
    for (let round = 0; round < count + 10; round++) {
      const embedding = `[${Array.from(mixture.draw(), (value) => value.toFixed(5)).join(",")}]`;
      const query = {
        embedding,
        mode: "meaning",
        limit: 10,
        ...(agent === undefined ? {} : { filter: { agent } }),
      };
      const begun = performance.now();
      const found = await client.query<{ id: string }>(
        "select m ->> 'id' as id from find_memories($1, null, $2) m",
        [query, tenant],
      );
      if (round < 10) continue; // warm-up
      samplesMs.push(roundMs(performance.now() - begun));
      if (round >= 40) continue; // an exact scan takes a second: 30 tell the recall
      await client.query("begin; set local enable_indexscan = off; set local enable_bitmapscan = off");
      const exact = await client.query<{ id: string }>(
        "select id from public.agent_memories where tenant_id = $1 and ($3::text is null or agent_id = $3) order by embedding <=> $2 limit 10",
        [tenant, embedding, agent ?? null],
      );
      await client.query("rollback");
      const ids = new Set(found.rows.map(({ id }) => id));
      hits += exact.rows.filter(({ id }) => ids.has(id)).length;
      truths += exact.rows.length;
    }
    const { p50Ms, p95Ms, p99Ms } = summarize(samplesMs);
    note(`${name}, p50`, p50Ms, "ms", samplesMs);
    note(`${name}, p95`, p95Ms, "ms");
    note(`${name}, p99`, p99Ms, "ms");
    note(`${name}, recall`, roundMs(hits / truths), "");
  }
}

/** A new agent with the hybrid backend and its default of the newest 100,000. */
async function join100k(databaseUrl: string, note: Note): Promise<void> {
  const supabase = await startLocalSupabase({ port: 0, databaseUrl });
  const dataDir = await mkdtemp(join(tmpdir(), "memory-scale-"));
  try {
    const { url, anonKey, jwtSecret } = supabase;
    const accessToken = await mintAgentToken({
      secret: jwtSecret,
      tenantId: tenant,
      agentId: "newcomer",
      ttlSeconds: 7_200,
    });
    const adapter = createSupabaseAdapter({
      url,
      anonKey,
      accessToken,
      vectorBackend: "hybrid",
      dataDir,
      agentId: "newcomer",
      requestTimeoutMs: 60_000,
    });
    const started = performance.now();
    await adapter.initialize();
    await adapter.queryMemories(tenant, undefined, 1);
    await adapter.sync();
    const { total_memories } = await adapter.getStats(tenant);
    note("a new agent has what it may hold", Math.round((performance.now() - started) / 1_000), "s");
    note("memories it holds", total_memories, "rows");
    await adapter.shutdown();
  } finally {
    await supabase.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
