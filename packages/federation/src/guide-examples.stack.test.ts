import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestStack } from "../../../test-support/stack.ts";
import { createRealtimeHub } from "./realtime-hub.ts";
import { migrationsDir, next, until } from "./testing/hub-bench.node.ts";

// The two examples of the guide stand here as the guide prints them, import paths aside. What a reader would write for
// `conductResearch` and its like is a line each.
let stack: Awaited<ReturnType<typeof startTestStack>> | undefined;
const before = { ...process.env };

beforeAll(async () => {
  stack = await startTestStack({ migrationsDir });
  process.env["SUPABASE_URL"] = stack.url;
  process.env["SUPABASE_ANON_KEY"] = stack.anonKey;
  process.env["SUPABASE_JWT_SECRET"] = stack.jwtSecret;
}, 120_000);

afterAll(async () => {
  process.env = before;
  await stack?.close();
});

const conductResearch = async (topic: unknown): Promise<string[]> => [`about ${String(topic)}`];
const analyzeData = async (findings: unknown): Promise<string> => `analysis of ${JSON.stringify(findings)}`;
const writeReport = async (analysis: unknown): Promise<string> => `report on ${String(analysis)}`;

test("Example 1: a research team hands its work from one to the next", async () => {
  // Researcher gathers information
  const researcher = createRealtimeHub("researcher-001", "research-team");
  await researcher.initialize();

  // Analyst processes findings
  const analyst = createRealtimeHub("analyst-001", "research-team");
  await analyst.initialize();

  // Writer creates report
  const writer = createRealtimeHub("writer-001", "research-team");
  await writer.initialize();

  // Researcher shares findings
  researcher.on("message:task_assignment", async (msg) => {
    const findings = await conductResearch(msg.payload.topic);
    await researcher.shareKnowledge("Research complete", { findings });
  });

  // Analyst analyzes
  analyst.on("message:share_knowledge", async (msg) => {
    if (msg.from_agent === "researcher-001") {
      const analysis = await analyzeData(msg.payload.findings);
      await analyst.shareKnowledge("Analysis complete", { analysis });
    }
  });

  // Writer synthesizes
  writer.on("message:share_knowledge", async (msg) => {
    if (msg.from_agent === "analyst-001") {
      const report = await writeReport(msg.payload.analysis);
      await writer.broadcast("task_complete", { report });
    }
  });

  const finished = next(researcher, "message:task_complete");

  // Start workflow
  await researcher.assignTask({
    task_id: "research-001",
    assigned_to: "researcher-001",
    description: "Research AI safety",
    priority: "high",
  });

  const { from_agent, payload } = await finished;
  expect(from_agent).toBe("writer-001");
  expect(payload["report"]).toBe('report on analysis of ["about undefined"]');

  // A caller that passes the topic has it at the other end.
  const again = next(researcher, "message:task_complete");
  await researcher.assignTask({
    task_id: "research-002",
    assigned_to: "researcher-001",
    description: "Research AI safety",
    priority: "high",
    topic: "AI safety",
  });
  expect((await again).payload["report"]).toBe('report on analysis of ["about AI safety"]');
  await Promise.all([researcher.shutdown(), analyst.shutdown(), writer.shutdown()]);
});

test("Example 2: tasks are distributed over the available workers", async () => {
  const worker1 = createRealtimeHub("worker-1", "worker-pool");
  await worker1.initialize();
  const done: string[] = [];
  worker1.on("message:task_assignment", ({ payload }) => done.push(payload.task_id));

  const coordinator = createRealtimeHub("coordinator", "worker-pool");
  await coordinator.initialize();

  // Track available workers
  const availableWorkers: string[] = [];

  coordinator.on("agent:join", (data) => {
    availableWorkers.push(data.agent_id);
  });

  coordinator.on("agent:leave", (data) => {
    const index = availableWorkers.indexOf(data.agent_id);
    if (index > -1) availableWorkers.splice(index, 1);
  });

  // Distribute tasks
  const tasks = ["task-1", "task-2", "task-3", "task-4", "task-5"];

  for (const task of tasks) {
    const worker = availableWorkers[0]!; // Round-robin or more sophisticated
    await coordinator.assignTask({
      task_id: task,
      assigned_to: worker,
      description: `Process ${task}`,
      priority: "medium",
    });
  }

  expect(availableWorkers).toEqual(["worker-1", "coordinator"]);
  await until(worker1, ["message:task_assignment"], () => done.length === tasks.length);
  expect(done).toEqual(tasks);
  const left = next(coordinator, "agent:leave");
  await worker1.shutdown();
  await left;
  expect(availableWorkers).toEqual(["coordinator"]);
  await coordinator.shutdown();
});
