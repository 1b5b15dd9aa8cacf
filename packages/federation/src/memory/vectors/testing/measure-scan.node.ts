// How long an exact search takes, how many candidates it needs for a recall of 1, and how long it holds the event loop:
// node scripts/run.mjs packages/federation/src/memory/vectors/testing/measure-scan.node.ts [vectors] [dimensions]
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createVectorIndex } from "../create-vector-index.ts";
import { rescore } from "../rescore.ts";
import { seededClusters } from "./vectors.ts";

const [count = 100_000, dimensions = 384] = process.argv.slice(2).map(Number);
const simd = !process.argv.includes("plain");
const draw = seededClusters(dimensions, { seed: 1, clusters: Math.ceil(Math.sqrt(count)) });
const whole = new Float32Array(count * dimensions);
const vectorOf = (slot: number): Float32Array => whole.subarray(slot * dimensions, (slot + 1) * dimensions);
const index = createVectorIndex(dimensions, { simd });
for (let slot = 0; slot < count; slot++) whole.set(draw(), slot * dimensions);

let start = performance.now();
for (let slot = 0; slot < count; slot++) index.set(slot, vectorOf(slot));
const setMs = performance.now() - start;
const queries = Array.from({ length: 200 }, draw);
const among = Uint32Array.from({ length: count / 100 }, (_, at) => at * 100 + (at % 7));

async function time(rounds: number, search: (query: Float32Array) => Promise<unknown>): Promise<string> {
  const samples: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const query = queries[round % queries.length] ?? draw();
    const begun = performance.now();
    await search(query);
    samples.push(performance.now() - begun);
  }
  samples.sort((a, b) => a - b);
  const at = (share: number): string => (samples[Math.floor(share * (samples.length - 1))] ?? 0).toFixed(3);
  return `p1 ${at(0.01)} p50 ${at(0.5)} p95 ${at(0.95)} p99 ${at(0.99)}`;
}

const report: Record<string, unknown> = {
  count,
  dimensions,
  simd,
  setsPerSecond: Math.round((count / setMs) * 1000),
};
const rounds = count > 200_000 ? 200 : 2000;
await time(Math.min(rounds, 500), (query) => index.nearest(query, 25));
report["nearest 25"] = await time(rounds, (query) => index.nearest(query, 25));
report["nearest 100"] = await time(rounds, (query) => index.nearest(query, 100));
report["among 1 %, 25"] = await time(rounds, (query) => index.nearest(query, 25, { among }));
report["rescore 25 of 25"] = await time(rounds, async (query) =>
  rescore(query, { slots: among.subarray(0, 25), scores: new Float32Array(25) }, { vectorOf, limit: 10 }),
);

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
for (let round = 0; round < 10; round++)
  await Promise.all(queries.slice(0, 10).map((query) => index.nearest(query, 25)));
delay.disable();
report["loop delay max, 10 at once"] = delay.max / 1e6;

// The truth from so many candidates that none is missed; a comparison with every whole vector where that is quick.
for (const limit of [1, 10, 50]) {
  const truths: Uint32Array[] = [];
  for (const query of queries) {
    const candidates =
      count <= 10_000
        ? { slots: Uint32Array.from({ length: count }, (_, at) => at), scores: new Float32Array(count) }
        : await index.nearest(query, 1000);
    truths.push(rescore(query, candidates, { vectorOf, limit }).slots);
  }
  for (const wanted of [limit, limit + 2, limit + 5, Math.ceil(limit * 1.5), limit * 2, limit * 4]) {
    let hits = 0;
    for (const [number, query] of queries.entries()) {
      const found = rescore(query, await index.nearest(query, wanted), { vectorOf, limit }).slots;
      const truth = new Set(truths[number]);
      for (const slot of found) if (truth.has(slot)) hits += 1;
    }
    report[`recall@${limit} of ${wanted}`] = hits / (queries.length * Math.min(limit, count));
  }
}
start = performance.now();
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
