import { expect, onTestFinished, test } from "vitest";
import { createSupabaseAdapter, type SupabaseFederationAdapter } from "../supabase-adapter.ts";
import { temporaryFolder } from "./local/testing/temporary-folder.node.ts";
import type { AgentMemory } from "./memory.ts";

/** Of a store whose batches wait for the disk, several at once. */
async function openAdapter(): Promise<SupabaseFederationAdapter> {
  const adapter = createSupabaseAdapter({
    vectorBackend: "agentdb",
    durability: "power",
    dataDir: temporaryFolder(),
    agentId: "ann",
    log: () => {},
  });
  onTestFinished(() => adapter.shutdown());
  await adapter.initialize();
  return adapter;
}

function memoryOf(id: string, content: string): AgentMemory {
  return { id, tenant_id: "t", agent_id: "ann", content, embedding: [1, 2, 3] };
}

test("batches that are under way at once are stored in the order given, and so is their progress", async () => {
  const adapter = await openAdapter();
  const told: number[] = [];
  const memories = Array.from({ length: 3_000 }, (_, at) => memoryOf(`m${at % 300}`, `version ${at}`));
  const stored = await adapter.storeMemories(memories, {
    onProgress: ({ stored: count }) => told.push(count),
  });
  expect(stored).toEqual({ stored: 3_000, skipped: 0 });
  expect(told.length).toBeGreaterThan(3);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  for (let at = 0; at < 300; at++)
    expect((await adapter.getMemory(`m${at}`, "t"))?.content).toBe(`version ${2_700 + at}`);
});

test("when one is refused, those before it are stored by the time the caller knows, and nothing after it", async () => {
  const adapter = await openAdapter();
  const taken: number[] = [];
  function* memories(): Generator<AgentMemory> {
    for (let at = 0; at < 2_000; at++) {
      taken.push(at);
      yield memoryOf(at === 1_100 ? "" : `m${at}`, "some words");
    }
  }
  await expect(adapter.storeMemories(memories())).rejects.toMatchObject({ code: "invalid_argument" });
  const { total_memories: count } = await adapter.getStats("t");
  expect(count).toBe(1_000); // whole batches
  expect(taken).toHaveLength(1_101);
});

test("a batch that fails while further memories are waited for fails the call, and nobody else", async () => {
  const adapter = await openAdapter();
  await adapter.storeMemory({ ...memoryOf("m7", "another's"), agent_id: "ben" });
  let go = (): void => {};
  const waiting = new Promise<void>((resolve) => (go = resolve));
  async function* memories(): AsyncGenerator<AgentMemory> {
    for (let at = 0; at < 250; at++) yield memoryOf(`m${at}`, "some words"); // the seventh is refused
    await waiting;
    for (let at = 250; at < 600; at++) yield memoryOf(`m${at}`, "some words");
  }
  const unheard: unknown[] = [];
  const hear = (error: unknown): void => void unheard.push(error);
  process.on("unhandledRejection", hear);
  onTestFinished(() => void process.off("unhandledRejection", hear));
  const storing = adapter.storeMemories(memories());
  await adapter.storeMemory(memoryOf("behind", "stored after the first batch was refused"));
  await new Promise(setImmediate);
  go();
  await expect(storing).rejects.toMatchObject({ code: "forbidden" });
  expect(unheard).toEqual([]);
  expect((await adapter.getMemory("m7", "t"))?.content).toBe("another's");
});

test("a signal ends it between two batches, and what was under way is stored", async () => {
  const adapter = await openAdapter();
  const abort = new AbortController();
  let stored = 0;
  const memories = Array.from({ length: 5_000 }, (_, at) => memoryOf(`m${at}`, "some words"));
  const storing = adapter.storeMemories(memories, {
    signal: abort.signal,
    onProgress: (progress) => {
      stored = progress.stored;
      abort.abort(new Error("enough"));
    },
  });
  await expect(storing).rejects.toThrow("enough");
  expect(stored).toBeLessThan(5_000);
  expect((await adapter.getStats("t")).total_memories).toBe(stored);
});
