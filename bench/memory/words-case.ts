/** Fills a local store with texts, opens it again and searches for their words; answers with what was measured. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createSupabaseAdapter, type SupabaseFederationAdapter } from "agent-federation";
import { ownQuestion } from "../harness/own-process.ts";
import { roundMs } from "../harness/statistics.ts";
import { Texts } from "./texts.ts";

export interface WordsMeasured {
  readonly insertedPerSecond: number;
  readonly reopenMs: number;
  /** Of the store that has been opened again and searched, beyond an empty one. */
  readonly heapMb: number;
  /** By what was looked for. */
  readonly searches: readonly {
    readonly name: string;
    readonly found: number;
    readonly samplesMs: readonly number[];
  }[];
  /** How long the event loop was held at most while searching. */
  readonly loopHeldMs: number;
}

const tenant = "bench";
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void; // what the flag adds
const { rows } = ownQuestion<{ readonly rows: number }>();
const root = mkdtempSync(join(tmpdir(), "words-bench-"));
process.once("disconnect", () => {
  rmSync(root, { recursive: true, force: true });
  process.exit(1); // whoever asked has gone
});
try {
  const measured = await measure();
  await new Promise<void>((resolve) => process.send?.(measured, () => resolve()));
} finally {
  rmSync(root, { recursive: true, force: true });
}
process.exit(0);

async function measure(): Promise<WordsMeasured> {
  const texts = new Texts();
  const empty = await open(join(root, "empty"));
  const emptyMb = heapMb();
  const first = await open(join(root, "full"));
  const began = performance.now();
  await first.storeMemories(memories(texts, rows));
  const took = performance.now() - began;
  await first.shutdown();

  const reopening = performance.now();
  const adapter = await open(join(root, "full"));
  const reopenMs = roundMs(performance.now() - reopening);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let loopHeldMs = 0;
  const searches = [];
  for (const { name, texts: wanted } of texts.queries()) {
    const samplesMs: number[] = [];
    let found = 0;
    for (const text of wanted.slice(0, 5)) await adapter.search({ tenant, text, mode: "words" });
    delay.reset(); // it counts the time that it was off
    delay.enable();
    for (const text of wanted) {
      const begun = performance.now();
      const { matches } = await adapter.search({ tenant, text, mode: "words" });
      samplesMs.push(roundMs(performance.now() - begun));
      found += matches.length;
    }
    delay.disable();
    loopHeldMs = Math.max(loopHeldMs, roundMs(delay.max / 1e6));
    searches.push({ name, found, samplesMs });
  }
  const heap = heapMb() - emptyMb;
  await adapter.shutdown();
  await empty.shutdown();
  return {
    insertedPerSecond: Math.round((rows * 1_000) / took),
    reopenMs,
    heapMb: Math.round(heap),
    searches,
    loopHeldMs,
  };
}

async function open(dataDir: string): Promise<SupabaseFederationAdapter> {
  const adapter = createSupabaseAdapter({ vectorBackend: "agentdb", dataDir, agentId: "bench" });
  await adapter.initialize();
  await adapter.getMemory("none", tenant);
  return adapter;
}

function* memories(texts: Texts, count: number) {
  for (let at = 0; at < count; at++)
    yield { id: `memory-${at}`, tenant_id: tenant, agent_id: "bench", content: texts.next() };
}

/** What is in use after a collection, buffers outside of the heap proper among it. */
function heapMb(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1e6;
}
