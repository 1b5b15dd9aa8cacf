// What graphs give above a full scan: latency and recall at several widths, time to build and to open, and how long the loop is held:
// node scripts/run.mjs packages/federation/src/memory/vectors/testing/measure-segments.node.ts [vectors] [dimensions] [folder to keep]
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createVectorIndex } from "../create-vector-index.ts";
import { candidatesFor, rescore } from "../rescore.ts";
import { SegmentedVectorIndex } from "../segments/segmented-vector-index.node.ts";
import { seededClusters } from "./vectors.ts";

const [count = 100_000, dimensions = 384] = process.argv.slice(2, 4).map(Number);
const folder = process.argv[4] ?? (await mkdtemp(join(tmpdir(), "measure-segments-")));
const clusters = Math.ceil(Math.sqrt(count));
const draw = seededClusters(dimensions, { seed: 1, clusters });
const whole = new Float32Array(count * dimensions);
const vectorOf = (slot: number): Float32Array => whole.subarray(slot * dimensions, (slot + 1) * dimensions);
for (let slot = 0; slot < count; slot++) whole.set(draw(), slot * dimensions);
const near = Array.from({ length: 200 }, draw);
// Of clusters that no vector is of: everything is about as far away.
const far = Array.from({ length: 200 }, seededClusters(dimensions, { seed: 99, clusters }));

const say = (name: string, value: unknown): void =>
  void process.stdout.write(`${name}: ${JSON.stringify(value)}\n`);
const log = (...entry: unknown[]): void => say("log", entry);
const delay = monitorEventLoopDelay({ resolution: 1 });
const exact = createVectorIndex(dimensions);

let index = await SegmentedVectorIndex.open({ folder, dimensions, log });
let start = performance.now();
for (let slot = 0; slot < count; slot++) {
  const encoded = exact.encode(vectorOf(slot));
  exact.setEncoded(slot, encoded);
  index.setEncoded(slot, encoded);
}
say("filled in s", (performance.now() - start) / 1000);
start = performance.now();
delay.enable();
await index.buildIfDue();
delay.disable();
say("built in s", (performance.now() - start) / 1000);
say("loop held while building, ms: max, p99", [delay.max / 1e6, delay.percentile(99) / 1e6]);
say("parts", index.parts);
await index.close();

delay.reset();
delay.enable();
start = performance.now();
index = await SegmentedVectorIndex.open({ folder, dimensions, log });
say("opened in ms", performance.now() - start);
delay.disable();
say("loop held while opening, ms", delay.max / 1e6);
start = performance.now();
for (let slot = 0; slot < count; slot++) index.setEncoded(slot, exact.readEncoded(slot) ?? new Uint8Array());
say("put in again in ms", performance.now() - start);
say("parts", index.parts);

for (const [name, queries] of Object.entries(count > 200_000 ? { near } : { near, far })) {
  const truths: Uint32Array[] = [];
  for (const query of queries)
    truths.push(rescore(query, await exact.nearest(query, 200), { vectorOf, limit: 10 }).slots);
  for (const wanted of [10, 15, candidatesFor(10), 40]) {
    const [search, all]: [number[], number[]] = [[], []];
    let hits = 0;
    for (let round = 0; round < 3; round++) {
      for (const [number, query] of queries.entries()) {
        const begun = performance.now();
        const candidates = await index.nearest(query, wanted);
        search.push(performance.now() - begun);
        const found = rescore(query, candidates, { vectorOf, limit: 10 }).slots;
        all.push(performance.now() - begun);
        if (round === 0) hits += found.filter((slot) => truths[number]?.includes(slot)).length;
      }
    }
    const at = (samples: number[], share: number): number =>
      Number((samples.toSorted((a, b) => a - b)[Math.floor(share * (samples.length - 1))] ?? 0).toFixed(3));
    say(`${name}, ${wanted} candidates`, {
      recall: hits / (queries.length * 10),
      p1: at(search, 0.01),
      p50: at(search, 0.5),
      p99: at(search, 0.99),
      rescoredP50: at(all, 0.5),
      rescoredP99: at(all, 0.99),
    });
  }
}
const searches: number[] = [];
for (const query of near) {
  const begun = performance.now();
  await exact.nearest(query, 25);
  searches.push(performance.now() - begun);
}
searches.sort((a, b) => a - b);
say("exact: min, p50, p99", [searches[0], searches[100], searches[197]]);
say(
  "memory, MB",
  Object.fromEntries(
    Object.entries(process.memoryUsage()).map(([key, bytes]) => [key, Math.round(bytes / 1e6)]),
  ),
);
await index.close();
