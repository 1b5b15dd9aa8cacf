import type { Worker } from "node:worker_threads";
import { startThread } from "../../../runtime/start-thread.node.ts";
import type { BuildOrder, BuildReport, RowBatch } from "./segment-messages.ts";

/**
 * Builds a segment in a thread of its own, one batch after the other, and resolves when it is on the disk. `nextBatch` is asked when the
 * thread has room; undefined ends the rows. Rejects when the thread fails, and with the signal's reason, then leaving temporary files.
 */
export async function buildSegment(
  order: BuildOrder,
  nextBatch: () => Extract<RowBatch, { type: "rows" }> | undefined,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const worker = startThread(new URL("./segment-worker.node.js", import.meta.url), {
    name: "federation segment",
    workerData: order,
  });
  const stop = (): void => void worker.terminate();
  signal.addEventListener("abort", stop, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      let isSealed = false;
      worker.on("message", (report: BuildReport) => {
        if (report.type === "sealed") {
          isSealed = true;
          return;
        }
        // A port hands over up to a thousand messages in one turn, and a quick thread's next question is there before the answer is through.
        setImmediate(() => {
          if (signal.aborted) return;
          try {
            sendBatch(worker, nextBatch());
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      });
      worker.once("error", reject);
      worker.once("exit", (code) => {
        if (isSealed) resolve();
        else reject(new Error(`segment ${order.number}: its thread ended with ${code} before it was sealed`));
      });
    });
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.terminate();
    signal.throwIfAborted();
  }
}

function sendBatch(worker: Worker, rows: Extract<RowBatch, { type: "rows" }> | undefined): void {
  const batch: RowBatch = rows ?? { type: "seal" };
  const moved = batch.type === "rows" ? [batch.slots.buffer, batch.hashes.buffer, batch.values.buffer] : [];
  // The arrays are made for this message, each with a buffer of its own that is not shared.
  worker.postMessage(batch, moved as ArrayBuffer[]);
}
