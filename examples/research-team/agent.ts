import "../support/known-notice.ts";
import {
  createHashingEmbedder,
  createRealtimeHub,
  createSupabaseAdapter,
  isFederationError,
  type RealtimeFederationHub,
  type SupabaseFederationAdapter,
  type AssignedTask,
} from "agent-federation";
import { parseDocument, type Document } from "./logic/text.ts";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TeamEvent } from "./team-event.ts";

/** The three agents, by the ids that the guide gives them. */
export const team = { researcher: "researcher-001", analyst: "analyst-001", writer: "writer-001" } as const;

export const embed = createHashingEmbedder();

/** What an agent works with. */
export interface Teammate {
  readonly hub: RealtimeFederationHub;
  readonly adapter: SupabaseFederationAdapter;
  readonly agentId: string;
  readonly tenantId: string;
  /** Says what happened: to the process that started this one, else on the terminal. */
  readonly tell: (event: Omit<TeamEvent, "agent">) => void;
  /** Stores a memory of this agent, with an embedding of its content, and says so. */
  readonly remember: (id: string, content: string, metadata: Record<string, unknown>) => Promise<void>;
  /** Hands a task over and says so. */
  readonly assign: (task: AssignedTask) => Promise<void>;
  /** Completes a task and says so. */
  readonly finish: (taskId: string, text: string, result: Record<string, unknown>) => Promise<void>;
}

/**
 * Joins the team as `agentId` and stays until told to stop: by the process that started this one, by its end, or by Ctrl-C. The
 * credentials come from the environment, as the hub reads them; the tenant from TEAM_TENANT. `setUp` adds what this agent reacts to.
 */
export async function joinTeam(agentId: string, setUp: (me: Teammate) => void): Promise<void> {
  const stop = stopSignal();
  const tenantId = process.env["TEAM_TENANT"] ?? "research-team";
  const me = teammate(agentId, tenantId);
  const { hub, adapter, tell } = me;
  let isStopping = false;
  const fail = (error: unknown): void => {
    // Whoever is told to stop in the middle of something is not at fault.
    if (isStopping && isFederationError(error, "closed")) return;
    process.exitCode = 1;
    tell({ kind: "failed", text: error instanceof Error ? error.message : String(error) });
  };

  hub.on("agent:join", ({ agent_id }) => {
    if (agent_id !== agentId) tell({ kind: "met", peer: agent_id, text: `sees ${agent_id}` });
  });
  hub.on("memory:added", ({ id, agent_id }) => {
    if (agent_id !== agentId)
      tell({ kind: "learned", peer: agent_id, subject: id, text: `learns of ${id} of ${agent_id}` });
  });
  hub.on("message:task_complete", ({ payload: { task_id, completed_by } }) => {
    if (completed_by === agentId) return;
    tell({
      kind: "confirmed",
      peer: completed_by,
      subject: task_id,
      text: `is told that ${completed_by} completed ${task_id}`,
    });
  });
  hub.on("error", ({ error }) => fail(error));
  setUp(me);
  // In the middle of joining as well: what waits for an answer ends then.
  const stopped = stop.then(async () => {
    isStopping = true;
    await Promise.all([hub.shutdown(), adapter.shutdown()]);
  });

  try {
    await adapter.initialize();
    await hub.initialize();
    tell({ kind: "joined", text: `joins ${tenantId}` });
    await stopped;
  } catch (error) {
    fail(error);
  } finally {
    await Promise.all([hub.shutdown(), adapter.shutdown()]);
  }
  tell({ kind: "left", text: "leaves" });
  // The channel to the parent would keep this process alive.
  if (process.connected) process.disconnect();
}

/** The documents of a folder, by name. */
export async function readDocuments(folder: string): Promise<Document[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".md")).toSorted();
  return Promise.all(
    files.map(async (file) => parseDocument(file, await readFile(join(folder, file), "utf8"))),
  );
}

/** Where the documents are that this example ships. */
export const documentsFolder: string = fileURLToPath(new URL("documents/", import.meta.url));

function teammate(agentId: string, tenantId: string): Teammate {
  const hub = createRealtimeHub(agentId, tenantId);
  const adapter = createSupabaseAdapter();
  const tell: Teammate["tell"] = (event) => {
    const told: TeamEvent = { agent: agentId, ...event };
    if (process.send === undefined) console.log(`${told.agent}: ${told.text}`);
    else if (process.connected) process.send(told);
  };
  return {
    hub,
    adapter,
    agentId,
    tenantId,
    tell,
    async remember(id, content, metadata) {
      const [embedding] = await embed([content]);
      await adapter.storeMemory({
        id,
        tenant_id: tenantId,
        agent_id: agentId,
        session_id: tenantId,
        content,
        embedding,
        metadata,
      });
      tell({ kind: "stored", subject: id, text: `stores ${id}` });
    },
    async assign(task) {
      await hub.assignTask({ priority: "high", ...task });
      const { task_id, assigned_to, description } = task;
      tell({
        kind: "assigned",
        peer: assigned_to,
        subject: task_id,
        text: `asks ${assigned_to}: ${description}`,
      });
    },
    async finish(taskId, text, result) {
      await hub.reportTaskComplete(taskId, result);
      tell({ kind: "finished", subject: taskId, text });
    },
  };
}

/** Resolves once somebody wants this process to end. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.on("message", (message) => {
      if (message === "stop") resolve();
    });
    process.once("disconnect", () => resolve());
    process.once("SIGTERM", () => resolve());
    // On Ctrl-C a terminal signals the parent as well, which then says "stop" in its own order.
    process.on("SIGINT", () => {
      if (!process.connected) resolve();
    });
  });
}
