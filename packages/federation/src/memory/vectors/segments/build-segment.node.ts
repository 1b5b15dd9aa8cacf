import type { Worker } from "node:worker_threads";
import { toError } from "../../../runtime/errors.ts";
import { startThread } from "../../../runtime/start-thread.node.ts";
import { forgetFlags, watchedFlags } from "../../../runtime/unbroken-work.node.ts";
import type { BuildOrder, BuildReport, RowBatch, ThreadOrder } from "./segment-messages.ts";

/**
 * Builds a segment in a thread of its own, one batch after the other, and resolves when it is on the disk. `nextBatch` is asked when the
 * thread has room; undefined ends the rows. Rejects when the thread fails, and with the signal's reason, then leaving temporary files. The
 * thread has ended by then, and by itself: one that is terminated while it is within usearch ends the process.
 */
export async function buildSegment(
  order: BuildOrder,
  nextBatch: () => Extract<RowBatch, { type: "rows" }> | undefined,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const flags = watchedFlags();
  const workerData: ThreadOrder = { ...order, flags };
  const file = new URL("./segment-worker.node.js", import.meta.url);
  const worker = startThread(file, { name: "federation segment", workerData });
  let isSealed = false;
  let failure: unknown;
  const stop = (): void => send(worker, { type: "stop" });
  const answer = (): void => {
    if (signal.aborted || failure !== undefined) return;
    try {
      send(worker, nextBatch() ?? { type: "seal" });
    } catch (error) {
      failure = error;
      stop();
    }
  };
  worker.on("message", (report: BuildReport) => {
    if (report.type === "sealed") isSealed = true;
    // A port hands over up to a thousand messages in one turn, and a quick thread's next question is there before the answer is through.
    else setImmediate(answer);
  });
  worker.once("error", (error) => (failure = error));
  signal.addEventListener("abort", stop, { once: true });
  const code = await new Promise<number>((resolve) => worker.once("exit", resolve));
  forgetFlags(flags);
  signal.removeEventListener("abort", stop);
  signal.throwIfAborted();
  if (failure !== undefined) throw toError(failure);
  if (!isSealed)
    throw new Error(`segment ${order.number}: its thread ended with ${code} before it was sealed`);
}

function send(worker: Worker, batch: RowBatch): void {
  const moved = batch.type === "rows" ? [batch.slots.buffer, batch.hashes.buffer, batch.values.buffer] : [];
  // The arrays are made for this message, each with a buffer of its own that is not shared.
  worker.postMessage(batch, moved as ArrayBuffer[]);
}
