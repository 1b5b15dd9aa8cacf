// Ends by itself while a thread is within usearch.
import { buildSegment } from "../segments/build-segment.node.ts";
import { GraphThread } from "../segments/graph-thread.node.ts";
import type { RowBatch } from "../segments/segment-messages.ts";
import { segmentPaths } from "../segments/segment-files.node.ts";

const [folder = ""] = process.argv.slice(2);
const [dimensions, slots, perBatch] = [64, 1_024, 128];
let given = 0;

function nextBatch(): Extract<RowBatch, { type: "rows" }> | undefined {
  if (given === slots) return undefined;
  const from = given;
  given += perBatch;
  return {
    type: "rows",
    slots: Uint32Array.from({ length: perBatch }, (_, at) => from + at),
    hashes: new Uint32Array(perBatch),
    values: Int8Array.from({ length: perBatch * dimensions }, (_, at) =>
      Math.round(100 * Math.sin((from * dimensions + at) ** 2)),
    ),
  };
}

const order = { folder, number: 1, dimensions, firstSlot: 0, slots };
await buildSegment(order, nextBatch, new AbortController().signal);
const graph = new GraphThread({ path: segmentPaths(folder, 1).graph, dimensions }, () => process.exit(1));
const query = Int8Array.from({ length: dimensions }, (_, at) => at);
const searches = Array.from({ length: 5_000 }, () => graph.search(query, slots));
await searches[20];
// The thread goes on with the others meanwhile.
for (const untilMs = performance.now() + 5; performance.now() < untilMs;);
process.exit(7);
