// The thread that builds a segment: rows come in batches, the sealed files are the result.
import { getPriority, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { unbroken } from "../../../runtime/unbroken-work.node.ts";
import { createFolder, sealSegment, segmentPaths } from "./segment-files.node.ts";
import type { BuildReport, RowBatch, ThreadOrder } from "./segment-messages.ts";
import { loadUsearch } from "./usearch.node.ts";

const lowPriority = 10;
// Both ends are ours: build-segment.node.ts gives and sends what segment-messages.ts says.
const { folder, number, dimensions, firstSlot, slots, flags } = workerData as ThreadOrder;
const port = parentPort;
if (port === null) throw new TypeError("segment worker: not started as a thread");

// Minutes of a processor for a million rows, and nobody waits for it. Elsewhere this would be the priority of the whole process.
if (process.platform === "linux") setPriority(Math.max(getPriority(), lowPriority));

const createGraph = unbroken(flags, loadUsearch);
if (createGraph === undefined) throw new TypeError("segment worker: usearch is not installed");
const graph = unbroken(flags, () => createGraph(dimensions));
const hashes = new Uint32Array(slots);
let rows = 0;
const report = (message: BuildReport): void => port.postMessage(message);

port.on("message", (batch: RowBatch) => {
  if (batch.type === "stop") return port.close();
  if (batch.type === "rows") {
    const keys = BigUint64Array.from(batch.slots, BigInt);
    unbroken(flags, () => graph.add(keys, batch.values, 1));
    for (const [at, slot] of batch.slots.entries()) hashes[slot - firstSlot] = batch.hashes[at] ?? 0;
    rows += batch.slots.length;
    report({ type: "added" });
    return;
  }
  seal().then(
    () => {
      report({ type: "sealed" });
      port.close();
    },
    // Thrown where the thread's owner sees it.
    (error: unknown) => setImmediate(() => throwIt(error)),
  );
});
report({ type: "added" });

async function seal(): Promise<void> {
  await createFolder(folder);
  unbroken(flags, () => graph.save(segmentPaths(folder, number).graphPart));
  await sealSegment(folder, number, { dimensions, rows, firstSlot, hashes });
}

function throwIt(error: unknown): never {
  throw error instanceof Error ? error : new Error(String(error));
}
