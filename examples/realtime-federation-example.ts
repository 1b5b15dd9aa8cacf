/**
 * Two agents in one file: they see each other, talk, share a memory, hand over a task and help each other.
 *
 *   npx tsx examples/realtime-federation-example.ts
 *
 * Runs against the Supabase project of the environment (or of a .env file), or else against a local one that it starts.
 */
import "./support/known-notice.ts";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createHashingEmbedder, createRealtimeHub, createSupabaseAdapter } from "agent-federation";
import { explain } from "./support/explain.ts";
import { openProject } from "./support/project.ts";

const project = await openProject();
Object.assign(process.env, project.environment);

// A tenant is a team. One of its own, so that this can run as often as you like.
const tenant = `example-${randomUUID().slice(0, 8)}`;
const coordinator = createRealtimeHub("coordinator", tenant);
const analyst = createRealtimeHub("analyst", tenant);
const adapter = createSupabaseAdapter();

/** The next event of a name. */
const next = <K extends Parameters<typeof coordinator.once>[0]>(hub: typeof coordinator, event: K) =>
  new Promise<Parameters<Parameters<typeof hub.once<K>>[1]>[0]>((resolve) => hub.once(event, resolve));

try {
  // 1. Presence: who is here, and what are they doing?
  await coordinator.initialize();
  const seesAnalyst = new Promise<void>((resolve) => {
    coordinator.on("agent:join", ({ agent_id }) => {
      if (agent_id === "analyst") resolve();
    });
  });
  await analyst.initialize();
  await seesAnalyst;
  console.log(
    "Presence: the coordinator sees",
    coordinator
      .getActiveAgents()
      .map((agent) => agent.agent_id)
      .join(", "),
  );

  // 2. Messages: to everybody, and to one agent.
  const hears = next(analyst, "message:status_update");
  await coordinator.broadcast("status_update", {
    agent_id: "coordinator",
    status: "busy",
    task: "Preparing",
  });
  console.log("Broadcast: the analyst hears", (await hears).payload);

  // 3. Memory: what one agent stores, the others are told, and find again by meaning.
  const embed = createHashingEmbedder();
  const contents = [
    "Evaluation reports the worst cases beside the mean",
    "Stopping an agent must be practised",
  ];
  const [first, second] = await embed(contents);
  const learns = next(coordinator, "memory:added");
  await adapter.initialize();
  for (const [index, embedding] of [first, second].entries()) {
    await adapter.storeMemory({
      id: `mem-00${index + 1}`,
      tenant_id: tenant,
      agent_id: "analyst",
      session_id: "session-001",
      content: contents[index] ?? "",
      embedding,
      metadata: { topic: "safety", confidence: 0.95 },
    });
  }
  console.log("Memory: the coordinator learns", JSON.stringify((await learns).content));
  const [question = []] = await embed(["how do we stop agents?"]);
  const [nearest] = await adapter.semanticSearch(question, tenant, 1);
  assert.equal(nearest?.id, "mem-002");
  console.log(
    "Search: nearest is",
    JSON.stringify(nearest.content),
    `(similarity ${nearest.similarity.toFixed(2)})`,
  );

  // 4. Tasks: assigned by one, done by the other, reported back.
  analyst.on("message:task_assignment", async ({ payload: task }) => {
    await analyst.updateStatus("busy", task.description);
    await analyst.reportTaskComplete(task.task_id, { patterns_found: 5, confidence: 0.92 });
  });
  const completed = next(coordinator, "message:task_complete");
  await coordinator.assignTask({
    task_id: "analyze-001",
    assigned_to: "analyst",
    description: "Analyze customer data for patterns",
    priority: "high",
  });
  const { payload: completion } = await completed;
  assert.equal(completion.completed_by, "analyst");
  console.log("Task:", completion.task_id, "completed with", completion.result);

  // 5. Help: asked of everybody, answered by whoever knows.
  coordinator.on("message:request_help", async ({ payload }) => {
    await coordinator.sendMessage(payload.from, "share_knowledge", {
      knowledge: `Look at line ${String((payload.context as { line: number }).line)}`,
      metadata: {},
      from: "coordinator",
    });
  });
  const answer = next(analyst, "message:share_knowledge");
  await analyst.requestHelp("Type error in TypeScript", { file: "api.ts", line: 42 });
  console.log("Help: the analyst is told", JSON.stringify((await answer).payload.knowledge));

  const stats = await coordinator.getStats();
  assert.equal(stats.active_agents, 2);
  console.log(
    "Done:",
    stats.active_agents,
    "agents,",
    (await adapter.getStats(tenant)).total_memories,
    "memories in",
    tenant,
  );
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
} finally {
  await Promise.all([coordinator.shutdown(), analyst.shutdown(), adapter.shutdown()]);
  await project.close();
}
