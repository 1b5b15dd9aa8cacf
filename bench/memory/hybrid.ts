import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRealtimeHub, createSupabaseAdapter, mintAgentToken } from "agent-federation";
import pg from "pg";
import { firstMessage, startOwnProcess } from "../harness/own-process.ts";
import { roundMs, summarize } from "../harness/statistics.ts";
import { contentOf, idOf, Mixture } from "./data.ts";
import type { Served } from "./serve.ts";
import { short, table } from "./table.ts";

export interface HybridResult {
  readonly kind: "hybrid";
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly samplesMs?: readonly number[];
}

const tenant = "bench";
const dimensions = 384;

/** A bare bulk insert, the same memories from one agent to a second, and the way of one change to another hub. */
export async function* measureHybrid(
  databaseUrl: string,
  { rows, hnsw, signal }: { rows: number; hnsw: boolean; signal: AbortSignal },
): AsyncGenerator<HybridResult> {
  const result = (name: string, value: number, unit: string): HybridResult => {
    return { kind: "hybrid", name, value: roundMs(value), unit };
  };
  const amount = rows.toLocaleString("en-US") + (hnsw ? " (HNSW index)" : "");
  yield* withStack(databaseUrl, signal, async function* (served) {
    if (hnsw) await makeIndex(databaseUrl);
    const bareMs = await bareInsert(databaseUrl, rows);
    yield result(`bare bulk insert of ${amount} on native Postgres`, bareMs / 1_000, "s");
    const { storedMs, arrivedMs } = await fromAgentToAgent(served, rows, signal);
    yield result(`storing ${amount} with the hybrid backend, acknowledged`, storedMs / 1_000, "s");
    yield result(`until a second agent has all ${amount}`, arrivedMs / 1_000, "s");
    yield result(`times the bare bulk insert, ${amount}`, arrivedMs / bareMs, "×");
  });
  yield* withStack(undefined, signal, async function* (served) {
    const samplesMs = await untilHeard(served, signal);
    const { p50Ms, p95Ms, p99Ms } = summarize(samplesMs);
    yield { ...result("change to memory:added on another hub, embedded stack, p50", p50Ms, "ms"), samplesMs };
    yield result("change to memory:added on another hub, embedded stack, p95", p95Ms, "ms");
    yield result("change to memory:added on another hub, embedded stack, p99", p99Ms, "ms");
  });
}

export function hybridTable(results: readonly HybridResult[]): string {
  const lines = results.map(({ name, value, unit }) => [name, `${short(value)} ${unit}`]);
  return table([["what", "value"], ...lines]);
}

async function* withStack<T>(
  databaseUrl: string | undefined,
  signal: AbortSignal,
  use: (served: Served) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  const file = new URL("serve.ts", import.meta.url);
  const server = startOwnProcess(file, { databaseUrl });
  const stop = (): void => {
    if (server.connected) server.disconnect();
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    yield* use((await firstMessage(server, file)) as Served); // serve.ts sends nothing else
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
    if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
  }
}

/** The one that docs/memories.md tells to make; the bare table gets its like. */
async function makeIndex(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ statement: string }>(
      "select public.memory_index_statement($1) as statement",
      [dimensions],
    );
    for (const { statement } of rows) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The same memories into a table of the same columns, checks and indexes, without triggers and policies: 1,000 a statement. */
async function bareInsert(databaseUrl: string, rows: number): Promise<number> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query("create table public.bare_memories (like public.agent_memories including all)");
    let took = 0;
    for (const batch of batchesOf(rows)) {
      const begun = performance.now();
      const columns = [
        batch.map(({ id }) => id),
        batch.map(({ content }) => content),
        batch.map(({ embedding }) => `[${embedding.join(",")}]`),
      ];
      await client.query(
        "insert into public.bare_memories (tenant_id, agent_id, hlc_writer, id, content, embedding) " +
          "select 'bench', 'ann', 'ann', * from unnest($1::text[], $2::text[], $3::vector[])",
        columns,
      );
      took += performance.now() - begun;
    }
    await client.query("drop table public.bare_memories");
    return took;
  } finally {
    await client.end();
  }
}

async function fromAgentToAgent(
  served: Served,
  rows: number,
  signal: AbortSignal,
): Promise<{ storedMs: number; arrivedMs: number }> {
  const folder = mkdtempSync(join(tmpdir(), "memory-hybrid-"));
  const adapterOf = async (agentId: string) => {
    const accessToken = await tokenOf(served, agentId);
    const { url, anonKey } = served;
    const dataDir = join(folder, agentId);
    const adapter = createSupabaseAdapter({
      url,
      anonKey,
      accessToken,
      vectorBackend: "hybrid",
      dataDir,
      agentId,
    });
    await adapter.initialize();
    await adapter.getMemory("none", tenant);
    await adapter.sync();
    return adapter;
  };
  const [ann, ben] = [await adapterOf("ann"), await adapterOf("ben")];
  try {
    const arrived = new Promise<void>((resolve, reject) => {
      ben.on("sync", ({ pulled }) => void (pulled >= rows && resolve()));
      signal.addEventListener("abort", () => reject(new Error("interrupted")), { once: true });
    });
    arrived.catch(() => undefined); // awaited below
    const begun = performance.now();
    for (const batch of batchesOf(rows))
      await ann.storeMemories(batch.map((each) => ({ ...each, tenant_id: tenant, agent_id: "ann" })));
    const storedMs = performance.now() - begun;
    await arrived;
    const arrivedMs = performance.now() - begun;
    const { matches } = await ben.search({ tenant, text: contentOf(rows - 1), mode: "words", limit: 1 });
    if (matches.length !== 1) throw new Error("the second agent does not find what it was sent");
    return { storedMs, arrivedMs };
  } finally {
    await Promise.all([ann.shutdown(), ben.shutdown()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** From the call that stores a memory to the event at the hub of another agent, one after the other. */
async function untilHeard(served: Served, signal: AbortSignal): Promise<number[]> {
  const { url, anonKey } = served;
  const hub = createRealtimeHub("ben", tenant, { url, anonKey, accessToken: await tokenOf(served, "ben") });
  const adapter = createSupabaseAdapter({ url, anonKey, accessToken: await tokenOf(served, "ann") });
  await hub.initialize();
  await adapter.initialize();
  const mixture = new Mixture({ dimensions, rows: 1_000, seed: 3 });
  const samplesMs: number[] = [];
  try {
    for (let at = 0; at < 320; at++) {
      signal.throwIfAborted();
      const heard = new Promise<number>((resolve) =>
        hub.once("memory:added", () => resolve(performance.now())),
      );
      const memory = {
        id: idOf(at),
        tenant_id: tenant,
        agent_id: "ann",
        content: contentOf(at),
        embedding: mixture.draw(),
      };
      const begun = performance.now();
      const stored = adapter.storeMemory(memory);
      const took = (await heard) - begun;
      await stored;
      if (at >= 20) samplesMs.push(roundMs(took)); // the first ones warm up
    }
  } finally {
    await hub.shutdown();
    await adapter.shutdown();
  }
  return samplesMs;
}

async function tokenOf({ jwtSecret }: Served, agentId: string): Promise<string> {
  return await mintAgentToken({ secret: jwtSecret, tenantId: tenant, agentId, ttlSeconds: 7_200 });
}

function* batchesOf(rows: number): Generator<{ id: string; content: string; embedding: Float32Array }[]> {
  const mixture = new Mixture({ dimensions, rows, seed: 2 });
  for (let from = 0; from < rows; from += 1_000)
    yield Array.from({ length: Math.min(1_000, rows - from) }, (_, at) => {
      return { id: idOf(from + at), content: contentOf(from + at), embedding: mixture.draw() };
    });
}
