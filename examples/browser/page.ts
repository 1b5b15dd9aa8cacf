/// <reference lib="dom" />
/** An agent in a page: joins with a token that its server makes for it, and shows what it is told. */
import { createRealtimeHub } from "agent-federation";

interface Settings {
  readonly url: string;
  readonly anonKey: string;
  readonly tenantId: string;
  readonly agentId: string;
}

const settings = (await (await fetch("/settings.json")).json()) as Settings; // our own server's answer
const { url, anonKey, tenantId, agentId } = settings;

const hub = createRealtimeHub(agentId, tenantId, {
  url,
  anonKey,
  // Asked again before the token expires. The page never sees a secret, only tokens that name this agent.
  accessToken: async () => (await fetch("/token")).text(),
});

hub.on("state", ({ to }) => show("state", to.name));
hub.on("agents:sync", ({ agents }) =>
  list(
    "agents",
    agents.map((agent) => `${agent.agent_id}: ${agent.status}`),
  ),
);
hub.on("message:received", ({ from_agent, type, payload }) =>
  add("messages", `${from_agent}: ${type} ${JSON.stringify(payload)}`),
);
hub.on("memory:added", ({ agent_id, content }) => add("memories", `${agent_id}: ${content}`));
hub.on("error", ({ error }) => show("problem", error.message));

try {
  await hub.initialize();
  await hub.updateStatus("online", "showing what happens");
  show("state", "joined");
} catch (error) {
  show("problem", error instanceof Error ? error.message : String(error));
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

// What other agents wrote is shown as text, never as markup.
function show(id: string, text: string): void {
  element(id).textContent = text;
}

function add(id: string, text: string): void {
  const item = document.createElement("li");
  item.textContent = text;
  element(id).append(item);
}

function list(id: string, texts: readonly string[]): void {
  element(id).replaceChildren();
  for (const text of texts) add(id, text);
}
