/* oxlint-disable no-console -- the guide's snippets print */
/**
 * Every TypeScript snippet of the guide, as printed, import paths aside: what people paste is what must run. Each snippet is the
 * body of a function below, unformatted; the tests around them look at what it did. Once with the JWT secret in the environment and
 * once with the service role key, as the guide has it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createClient } from "@supabase/supabase-js";
import { WebSocket } from "ws";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Arrivals, freshTenant, startStack, type TestStack } from "../memory/testing/start-stack.node.ts";
import { createRealtimeHub, type RealtimeFederationHub } from "../realtime-federation.ts";
import { createSupabaseAdapter, type SupabaseFederationAdapter } from "../supabase-adapter.ts";
import { mintAgentToken } from "../tokens/mint-agent-token.ts";

// 1. Presence Tracking
// oxfmt-ignore
async function presenceTracking() {
  const hub = createRealtimeHub('my-agent', 'my-tenant');
  await hub.initialize();

  // Update status
  await hub.updateStatus('busy', 'Processing large dataset');

  // Listen for other agents
  hub.on('agent:join', (data) => {
    console.log(`Agent ${data.agent_id} joined!`);
  });

  hub.on('agent:leave', (data) => {
    console.log(`Agent ${data.agent_id} left`);
  });

  // Get list of active agents
  const agents = hub.getActiveAgents();
  console.log(`${agents.length} agents online:`, agents);

  return hub;
}

// 2. Real-Time Memory Synchronization
// oxfmt-ignore
async function memorySynchronization(hub: RealtimeFederationHub) {
  const adapter = createSupabaseAdapter();
  await adapter.initialize();

  // Agent 1: Store memory
  await adapter.storeMemory({
    id: 'mem-001',
    tenant_id: 'my-tenant',
    agent_id: 'agent-001',
    session_id: 'session-001',
    content: 'Important finding: AI safety requires careful consideration',
    metadata: { topic: 'safety', confidence: 0.95 },
  });

  // Agent 2: Receives real-time update automatically
  hub.on('memory:added', (memory) => {
    console.log('New memory:', memory.content);
    // Agent 2 can now use this memory immediately
  });

  return adapter;
}

// 3. Agent-to-Agent Communication
// oxfmt-ignore
async function communication(hub: RealtimeFederationHub) {
  // Broadcast to all agents
  await hub.broadcast('status_update', {
    message: 'Processing complete',
    results: { items: 42, confidence: 0.89 },
  });

  // Send message to specific agent
  await hub.sendMessage('agent-002', 'share_knowledge', {
    knowledge: 'Found optimal solution',
    solution: { algorithm: 'A*', complexity: 'O(n log n)' },
  });

  // Listen for messages
  hub.on('message:share_knowledge', (message) => {
    console.log(`Knowledge from ${message.from_agent}:`, message.payload);
  });
}

// 4. Task Coordination
// oxfmt-ignore
async function taskCoordination(hub: RealtimeFederationHub, performAnalysis: (task: unknown) => Promise<void>) {
  // Coordinator assigns task
  await hub.assignTask({
    task_id: 'analyze-001',
    assigned_to: 'analyst-agent',
    description: 'Analyze customer data for patterns',
    priority: 'high',
    deadline: '2025-11-01T00:00:00Z',
  });

  // Worker receives task
  hub.on('message:task_assignment', async (message) => {
    const task = message.payload;
    console.log(`Received task: ${task.description}`);

    // Do work...
    await performAnalysis(task);

    // Report completion
    await hub.reportTaskComplete(task.task_id, {
      patterns_found: 5,
      confidence: 0.92,
    });
  });

  // Coordinator receives completion
  hub.on('message:task_complete', (message) => {
    console.log(`Task ${message.payload.task_id} completed!`);
  });
}

// 5. Collaborative Problem Solving
// oxfmt-ignore
async function problemSolving(hub: RealtimeFederationHub, analyzeProblem: (problem: string) => Promise<string>) {
  // Agent encounters problem
  await hub.requestHelp('Type error in TypeScript', {
    file: 'api.ts',
    line: 42,
    error: 'Type mismatch',
  });

  // Expert agent responds
  hub.on('message:request_help', async (message) => {
    const solution = await analyzeProblem(message.payload.problem);

    await hub.sendMessage(message.payload.from, 'share_knowledge', {
      solution: solution,
    });
  });
}

interface ResearchWork {
  readonly conductResearch: (topic: unknown) => Promise<unknown>;
  readonly analyzeData: (findings: unknown) => Promise<unknown>;
  readonly writeReport: (analysis: unknown) => Promise<unknown>;
}

// Example 1: Multi-Agent Research Team
// oxfmt-ignore
async function researchTeam({ conductResearch, analyzeData, writeReport }: ResearchWork) {
  // Researcher gathers information
  const researcher = createRealtimeHub('researcher-001', 'research-team');
  await researcher.initialize();

  // Analyst processes findings
  const analyst = createRealtimeHub('analyst-001', 'research-team');
  await analyst.initialize();

  // Writer creates report
  const writer = createRealtimeHub('writer-001', 'research-team');
  await writer.initialize();

  // Researcher shares findings
  researcher.on('message:task_assignment', async (msg) => {
    const findings = await conductResearch(msg.payload.topic);
    await researcher.shareKnowledge('Research complete', { findings });
  });

  // Analyst analyzes
  analyst.on('message:share_knowledge', async (msg) => {
    if (msg.from_agent === 'researcher-001') {
      const analysis = await analyzeData(msg.payload.findings);
      await analyst.shareKnowledge('Analysis complete', { analysis });
    }
  });

  // Writer synthesizes
  writer.on('message:share_knowledge', async (msg) => {
    if (msg.from_agent === 'analyst-001') {
      const report = await writeReport(msg.payload.analysis);
      await writer.broadcast('task_complete', { report });
    }
  });

  // Start workflow
  await researcher.assignTask({
    task_id: 'research-001',
    assigned_to: 'researcher-001',
    description: 'Research AI safety',
    priority: 'high',
  });

  return { researcher, analyst, writer };
}

// Example 2: Dynamic Load Balancing
// oxfmt-ignore
async function loadBalancing() {
  const coordinator = createRealtimeHub('coordinator', 'worker-pool');
  await coordinator.initialize();

  // Track available workers
  const availableWorkers: string[] = [];

  coordinator.on('agent:join', (data) => {
    availableWorkers.push(data.agent_id);
  });

  coordinator.on('agent:leave', (data) => {
    const index = availableWorkers.indexOf(data.agent_id);
    if (index > -1) availableWorkers.splice(index, 1);
  });

  // Distribute tasks
  const tasks = ['task-1', 'task-2', 'task-3', 'task-4', 'task-5'];

  for (const task of tasks) {
    const worker = availableWorkers[0]; // Round-robin or more sophisticated
    // @ts-expect-error -- under noUncheckedIndexedAccess, which `strict` does not include
    await coordinator.assignTask({
      task_id: task,
      assigned_to: worker,
      description: `Process ${task}`,
      priority: 'medium',
    });
  }

  return { coordinator, availableWorkers };
}

// Security: Authentication
// oxfmt-ignore
function authentication(url: string, anonKey: string, user: { access_token: string }) {
  // With authentication
  const client = createClient(url, anonKey, {
    global: {
      headers: {
        Authorization: `Bearer ${user.access_token}`,
      },
    },
  });

  return client;
}

describe.each(["SUPABASE_JWT_SECRET", "SUPABASE_SERVICE_ROLE_KEY"])("with %s", (credential) => {
  let stack: TestStack;
  let lines: Arrivals<string>;
  const opened: (RealtimeFederationHub | SupabaseFederationAdapter)[] = [];
  const keep = <T extends RealtimeFederationHub | SupabaseFederationAdapter>(each: T): T => {
    opened.push(each);
    return each;
  };
  const join = async (agentId: string, tenantId: string): Promise<RealtimeFederationHub> => {
    const hub = keep(createRealtimeHub(agentId, tenantId));
    await hub.initialize();
    return hub;
  };
  /** The next printed line that begins so; others are passed over. */
  const printed = async (start: string): Promise<string> => {
    for (;;) {
      const line = await lines.next();
      if (line.startsWith(start)) return line;
    }
  };

  beforeAll(async () => {
    stack = await startStack();
    vi.stubEnv("SUPABASE_URL", stack.url);
    vi.stubEnv("SUPABASE_ANON_KEY", stack.anonKey);
    vi.stubEnv("SUPABASE_JWT_SECRET", credential === "SUPABASE_JWT_SECRET" ? stack.jwtSecret : "");
    vi.stubEnv(
      "SUPABASE_SERVICE_ROLE_KEY",
      credential === "SUPABASE_SERVICE_ROLE_KEY" ? stack.serviceRoleKey : "",
    );
  });
  beforeEach(() => {
    lines = new Arrivals();
    vi.spyOn(console, "log").mockImplementation((...args: unknown[]) => {
      lines.take(args.map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join(" "));
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await Promise.all(opened.splice(0).map((each) => each.shutdown()));
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await stack?.close();
  });

  test("presence: who is there, who comes, who goes, and what they do", async () => {
    const hub = keep(await presenceTracking());
    expect(await lines.next()).toBe("Agent my-agent joined!");
    expect(await lines.next()).toMatch(
      /^1 agents online: .*"agent_id":"my-agent".*"status":"busy","task":"Processing large dataset"/,
    );
    const other = await join("other", "my-tenant");
    expect(await lines.next()).toBe("Agent other joined!");
    expect(other.getActiveAgents().find((agent) => agent.agent_id === "my-agent")).toMatchObject({
      tenant_id: "my-tenant",
      status: "busy",
      task: "Processing large dataset",
    });
    await other.shutdown();
    expect(await lines.next()).toBe("Agent other left");
    expect(hub.getActiveAgents()).toHaveLength(1);
  });

  test.each(["pgvector", "hybrid", "agentdb"])(
    "memory under %s: stored by one agent, told to the others, with a text id and no registered session",
    async (backend) => {
      vi.stubEnv("FEDERATION_VECTOR_BACKEND", backend);
      const dataDir = await mkdtemp(path.join(tmpdir(), "guide-"));
      vi.stubEnv("FEDERATION_DATA_DIR", dataDir);
      const hub = await join("my-agent", "my-tenant");
      const adapter = keep(await memorySynchronization(hub));
      vi.stubEnv("FEDERATION_VECTOR_BACKEND", "");
      vi.stubEnv("FEDERATION_DATA_DIR", "");
      const held = await adapter.queryMemories("my-tenant", "agent-001");
      expect(held.find(({ id }) => id === "mem-001")).toMatchObject({
        id: "mem-001",
        session_id: "session-001",
        content: "Important finding: AI safety requires careful consideration",
        metadata: { topic: "safety", confidence: 0.95 },
      });
      expect((await adapter.getStats()).vector_backend).toBe(backend);
      // The listener was added after the first memory was stored, which may have been announced already.
      const second = {
        id: `mem-${backend}`,
        tenant_id: "my-tenant",
        agent_id: "agent-001",
        session_id: "session-001",
        embedding: [0.5, 1],
      };
      await adapter.storeMemory({ ...second, content: `A second finding, ${backend}` });
      const found = await adapter.semanticSearch([0.5, 1], "my-tenant");
      expect(found.find(({ id }) => id === second.id)?.similarity).toBeCloseTo(1, 5);
      if (backend !== "agentdb")
        // which tells nobody
        expect(await printed("New memory: A second")).toBe(`New memory: A second finding, ${backend}`);
      await adapter.shutdown();
      await rm(dataDir, { recursive: true });
    },
  );

  test("messages: to everybody, to one agent, and from one", async () => {
    const tenant = freshTenant();
    const hub = await join("agent-001", tenant);
    const second = await join("agent-002", tenant);
    const third = await join("agent-003", tenant);
    const heard = new Arrivals<[string, unknown]>();
    const overheard = new Arrivals<unknown>();
    second.on("message:received", ({ type, payload }) => heard.take([type, payload]));
    third.on("message:share_knowledge", overheard.take);
    await communication(hub);
    expect(await heard.next()).toEqual([
      "status_update",
      { message: "Processing complete", results: { items: 42, confidence: 0.89 } },
    ]);
    expect(await heard.next()).toEqual([
      "share_knowledge",
      { knowledge: "Found optimal solution", solution: { algorithm: "A*", complexity: "O(n log n)" } },
    ]);
    await second.sendMessage("agent-001", "share_knowledge", { knowledge: "thanks" });
    expect(await lines.next()).toBe('Knowledge from agent-002: {"knowledge":"thanks"}');
    expect(overheard.pending).toEqual([]);
  });

  test("tasks: assigned, worked on, completed, and reported to whoever assigned them", async () => {
    // One agent is both, so that the snippet is whole: a task that it assigns to itself does arrive.
    const hub = await join("analyst-agent", freshTenant());
    const analysed: unknown[] = [];
    await taskCoordination(hub, async (task) => void analysed.push(task));
    expect(await lines.next()).toBe("Received task: Analyze customer data for patterns");
    expect(await lines.next()).toBe("Task analyze-001 completed!");
    expect(analysed).toEqual([
      expect.objectContaining({ task_id: "analyze-001", deadline: "2025-11-01T00:00:00Z" }),
    ]);
  });

  test("help: asked of everybody, answered to whoever asked", async () => {
    const tenant = freshTenant();
    const other = await join("novice", tenant);
    const asked = new Arrivals<unknown>();
    other.on("message:request_help", ({ payload }) => asked.take(payload));
    const answers = new Arrivals<unknown>();
    other.on("message:share_knowledge", ({ from_agent, payload }) => answers.take([from_agent, payload]));
    const expert = await join("expert", tenant);
    await problemSolving(expert, async (problem) => `Solved: ${problem}`);
    const context = { file: "api.ts", line: 42, error: "Type mismatch" };
    expect(await asked.next()).toEqual({ problem: "Type error in TypeScript", context, from: "expert" });
    await other.requestHelp("No idea");
    expect(await answers.next()).toEqual(["expert", { solution: "Solved: No idea" }]);
  });

  test("example 1: three agents hand research, analysis and report to each other", async () => {
    const editor = await join("editor", "research-team");
    const reports = new Arrivals<unknown>();
    editor.on("message:task_complete", ({ from_agent, payload }) => reports.take([from_agent, payload]));
    const topics: unknown[] = [];
    const team = await researchTeam({
      conductResearch: async (topic) => {
        topics.push(topic);
        return [`finding on ${String(topic)}`];
      },
      analyzeData: async (findings) => ({ of: findings }),
      writeReport: async (analysis) => ({ on: analysis }),
    });
    Object.values(team).forEach(keep);
    expect(await reports.next()).toEqual([
      "writer-001",
      { report: { on: { of: ["finding on undefined"] } } },
    ]);
    // The snippet's task has no topic. Where the caller passes one, it arrives.
    const task = {
      task_id: "research-002",
      assigned_to: "researcher-001",
      description: "Research",
      topic: "AI safety",
    };
    await editor.assignTask(task);
    expect(await reports.next()).toEqual([
      "writer-001",
      { report: { on: { of: ["finding on AI safety"] } } },
    ]);
    expect(topics).toEqual([undefined, "AI safety"]);
  });

  test("example 2: the workers that are there already are known at once, and get the tasks", async () => {
    const worker = await join("worker-1", "worker-pool");
    const received = new Arrivals<string>();
    worker.on("message:task_assignment", ({ payload }) => received.take(payload.description));
    const { coordinator, availableWorkers } = await loadBalancing();
    keep(coordinator);
    expect(availableWorkers).toEqual(["worker-1", "coordinator"]);
    for (const task of ["task-1", "task-2", "task-3", "task-4", "task-5"]) {
      expect(await received.next()).toBe(`Process ${task}`);
    }
    const joined = new Promise((resolve) => coordinator.on("agent:join", resolve, { replay: false }));
    const second = await join("worker-2", "worker-pool");
    await joined;
    expect(availableWorkers).toEqual(["worker-1", "coordinator", "worker-2"]);
    const left = new Promise((resolve) => coordinator.on("agent:leave", resolve));
    await second.shutdown();
    await left;
    expect(availableWorkers).toEqual(["worker-1", "coordinator"]);
  });

  test("authentication: a client with a user's token sees its tenant, and a hub takes the token over", async () => {
    // Browsers and Node 22 have one; createClient asks for it on Node 20.
    if (!("WebSocket" in globalThis)) vi.stubGlobal("WebSocket", WebSocket);
    try {
      const tenantId = freshTenant();
      const adapter = keep(createSupabaseAdapter());
      for (const tenant_id of [tenantId, freshTenant()]) {
        await adapter.storeMemory({ id: "m", tenant_id, agent_id: "ann", content: `of ${tenant_id}` });
      }
      const access_token = await mintAgentToken({ secret: stack.jwtSecret, tenantId, agentId: "ann" });
      const client = authentication(stack.url, stack.anonKey, { access_token });
      const { data } = await client.from("agent_memories").select("content");
      expect(data).toEqual([{ content: `of ${tenantId}` }]);
      const hub = keep(createRealtimeHub("ann", tenantId, { client }));
      await hub.initialize();
      expect(hub.getActiveAgents().map((agent) => agent.agent_id)).toEqual(["ann"]);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
