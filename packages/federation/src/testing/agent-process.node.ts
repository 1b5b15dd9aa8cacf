// An agent in a process of its own: joins, says so, and does what the environment tells it.
import { createRealtimeHub } from "../realtime-hub.ts";

const { AGENT_ID = "child", AGENT_TENANT = "default", AGENT_PLAN = "stay" } = process.env;
const hub = createRealtimeHub(AGENT_ID, AGENT_TENANT, { initializeTimeoutMs: 25_000 });
await hub.initialize();
process.send?.("ready");
if (AGENT_PLAN === "leave") {
  await hub.broadcast("bye", {});
  await hub.shutdown();
  process.disconnect?.();
  // What is still there now would keep this process alive.
  const busy = process
    .getActiveResourcesInfo()
    .filter((name) => name === "Timeout" || name === "TCPSocketWrap");
  process.stdout.write(JSON.stringify(busy));
}
