// A worker in a process of its own: says what it claims, and takes as long for each task as the task says.
import { createRealtimeHub } from "../../realtime-hub.ts";

const { AGENT_ID = "worker", AGENT_TENANT = "default" } = process.env;
const hub = createRealtimeHub(AGENT_ID, AGENT_TENANT, { initializeTimeoutMs: 25_000 });
hub.on("error", () => {});
await hub.initialize();
process.on("disconnect", () => process.exit(0)); // its parent died
const working = hub.work(
  async (task) => {
    await task.progress(0.5);
    process.send?.({ claimed: task.task_id });
    await new Promise((resolve) => setTimeout(resolve, Number(task.row["takes_ms"])));
    return { by: AGENT_ID, attempt: task.attempt };
  },
  { concurrency: 3 },
);
process.send?.("ready");
await working;
