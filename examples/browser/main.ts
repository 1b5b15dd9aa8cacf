/** `npx tsx examples/browser/main.ts`: serves a page that is an agent, and an agent here that talks to it every few seconds. */
import "../support/known-notice.ts";
import { once } from "node:events";
import { createRealtimeHub, createSupabaseAdapter } from "agent-federation";
import { explain } from "../support/explain.ts";
import { openProject } from "../support/project.ts";
import { stopOnSignals } from "../support/stop-on-signals.ts";
import { servePage } from "./serve.ts";

const stop = stopOnSignals();

const tenantId = "browser-example";
const project = await openProject(stop.signal);
Object.assign(process.env, project.environment);
const hub = createRealtimeHub("server", tenantId);
const adapter = createSupabaseAdapter();
const page = await servePage({ environment: project.environment, tenantId, agentId: "page", port: 0 });
let count = 0;
const timer = setInterval(() => {
  count += 1;
  const memory = {
    id: `tick-${Date.now()}`,
    tenant_id: tenantId,
    agent_id: "server",
    content: `Memory ${count}`,
  };
  Promise.all([
    hub.broadcast("status_update", { agent_id: "server", status: "online", task: `Tick ${count}` }),
    adapter.storeMemory(memory),
  ]).catch((error: unknown) => console.error(error instanceof Error ? error.message : error));
}, 3000);
try {
  await hub.initialize();
  hub.on("agent:join", ({ agent_id }) => console.log(`${agent_id} is here`));
  hub.on("agent:leave", ({ agent_id }) => console.log(`${agent_id} left`));
  console.log(`Open ${page.url} in a browser. Ctrl-C ends this.`);
  if (!stop.signal.aborted) await once(stop.signal, "abort");
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
} finally {
  clearInterval(timer);
  await Promise.all([hub.shutdown(), adapter.shutdown(), page.close()]);
  await project.close();
}
