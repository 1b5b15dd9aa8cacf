/** Some of the agents of the proof, in a process of their own: does what it is told, says when all of its agents know. */
import { createRealtimeHub, type RealtimeFederationHub } from "agent-federation";
import { ownQuestion } from "../harness/own-process.ts";
import type { Change, Order, Place, Said } from "./orders.ts";

const place = ownQuestion<Place>();
const hubs = new Map<string, RealtimeFederationHub>();
/** What everybody has to learn, and who has not yet. */
let expected: { readonly change: Change; readonly waiting: Set<string> } | undefined;

process.on("message", (order: Order) => void obey(order).catch(fail));
process.once("disconnect", () => process.exit(0));
process.on("SIGINT", () => {}); // the parent says when
say({ type: "ready" });

async function obey(order: Order): Promise<void> {
  switch (order.type) {
    case "open":
      await inLanes(order.agents, 10, open);
      return say({ type: "opened" });
    case "expect":
      expected = { change: order.change, waiting: new Set(hubs.keys()) };
      if (order.change.to === undefined) expected.waiting.delete(order.change.agent); // it is not here to see
      for (const agent of hubs.keys()) look(agent);
      if (hubs.size === 0 || (hubs.size === 1 && hubs.has(order.change.agent)))
        say({ type: "known", change: order.change, atMs: Date.now() });
      return;
    case "change": {
      const { agent, to } = order.change;
      if (to === undefined) {
        const hub = hubs.get(agent);
        hubs.delete(agent);
        await hub?.shutdown();
      } else if (hubs.has(agent)) await hubs.get(agent)?.updateStatus(to);
      else await open(agent);
      return say({ type: "changed", change: order.change, atMs: Date.now() });
    }
    case "list":
      return say({
        type: "lists",
        lists: Array.from(hubs.values(), (hub) =>
          hub
            .getActiveAgents()
            .map(({ agent_id, status }) => `${agent_id} ${status}`)
            .toSorted(),
        ),
      });
    case "close":
      await Promise.all(Array.from(hubs.values(), (hub) => hub.shutdown()));
      process.disconnect();
  }
}

async function open(agent: string): Promise<void> {
  const { tenant, url, anonKey, jwtSecret } = place;
  const hub = createRealtimeHub(agent, tenant, {
    url,
    anonKey,
    jwtSecret,
    initializeTimeoutMs: 120_000,
    requestTimeoutMs: 60_000,
    memorySync: false,
  });
  for (const event of ["agent:join", "agent:update", "agent:leave"] as const)
    hub.on(event, ({ agent_id }) => agent_id === expected?.change.agent && look(agent));
  hub.on("agents:sync", () => look(agent));
  hub.on("error", ({ error, during }) =>
    say({ type: "trouble", text: `${agent}: ${during}: ${error.message}` }),
  );
  await hub.initialize();
  hubs.set(agent, hub);
}

/** Whether this agent's list shows what is expected. */
function look(agent: string): void {
  if (expected === undefined || !expected.waiting.has(agent)) return;
  const { change, waiting } = expected;
  const shown = hubs
    .get(agent)
    ?.getActiveAgents()
    .find(({ agent_id }) => agent_id === change.agent);
  if (shown?.status !== change.to) return;
  waiting.delete(agent);
  if (waiting.size === 0) say({ type: "known", change, atMs: Date.now() });
}

async function inLanes(
  agents: readonly string[],
  lanes: number,
  run: (agent: string) => Promise<void>,
): Promise<void> {
  const left = [...agents];
  const lane = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await run(next);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

function say(said: Said): void {
  if (process.connected) process.send?.(said);
}

/** What was told to be done was not: whoever told us waits for it. */
function fail(error: unknown): void {
  console.error(error);
  process.exit(1);
}
