/** A worker: takes the tasks that it is given, one after the other, until the coordinator has no more use for it. */
import "../support/known-notice.ts";
import { createRealtimeHub, isFederationError } from "agent-federation";
import { countPrimes } from "./primes.ts";

const [agentId = "worker-1", tenantId = "worker-pool"] = process.argv.slice(2);
const hub = createRealtimeHub(agentId, tenantId);

// The end of the coordinator is the end of its workers, however it ended.
const stop = new Promise<void>((resolve) => {
  process.once("disconnect", () => resolve());
  process.once("SIGTERM", () => resolve());
  process.on("SIGINT", () => {
    if (!process.connected) resolve();
  });
});

hub.on("message:task_assignment", async ({ payload: task }) => {
  await hub.updateStatus("busy", task.description);
  const primes = countPrimes(Number(task["from"]), Number(task["to"]));
  await hub.reportTaskComplete(task.task_id, { primes });
  await hub.updateStatus("online");
});
let isStopping = false;
hub.on("error", ({ error }) => {
  // Whoever is told to stop in the middle of something is not at fault.
  if (isStopping && isFederationError(error, "closed")) return;
  console.error(`${agentId}: ${error.message}`);
  process.exitCode = 1;
});

try {
  await hub.initialize();
  await stop;
  isStopping = true;
} catch (error) {
  console.error(`${agentId}: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  await hub.shutdown();
  if (process.connected) process.disconnect();
}
