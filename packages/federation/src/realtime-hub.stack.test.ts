import { createClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { deleteAgent, deleteTenant } from "./administration.ts";
import { resolveTransport } from "./connection/transport.ts";
import { isFederationError } from "./runtime/errors.ts";
import type { CoordinationMessage } from "./messaging/message.ts";
import { createRealtimeHub } from "./realtime-hub.ts";
import { createSupabaseAdapter } from "./supabase-adapter.ts";
import { next, until, useHubBench } from "./testing/hub-bench.node.ts";

const bench = useHubBench();
const names = (agents: readonly { readonly agent_id: string }[]): string[] =>
  agents.map((agent) => agent.agent_id);

test("after initialize an agent sees itself and everybody who is there", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  expect(names(b.getActiveAgents())).toEqual(["a", "b"]);
  await until(a, ["agent:join"], () => a.getActiveAgents().length === 2);
  expect(names(a.getActiveAgents())).toEqual(["b", "a"]);
  expect(a.state.name).toBe("online");
});

test("initialize twice is the same initialize, and so is shutdown", async () => {
  const hub = bench.make("a");
  expect(hub.initialize()).toBe(hub.initialize());
  await hub.initialize();
  expect(hub.shutdown()).toBe(hub.shutdown());
  await hub.shutdown();
  expect(hub.state).toEqual({ name: "closed", cause: undefined });
});

test("a late listener of agent:join hears at once of everybody present, oneself last", async () => {
  await bench.open("a");
  const b = await bench.open("b");
  const heard: string[] = [];
  b.on("agent:join", ({ agent_id, presences }) => heard.push(`${agent_id} ${presences[0]?.status}`));
  expect(heard).toEqual(["a online", "b online"]);
  b.on("agent:join", ({ agent_id }) => heard.push(agent_id), { replay: false });
  expect(heard).toHaveLength(2);
});

test("status and task of an agent reach the others, in presence and as a message, and its start time stays", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  const before = b.getActiveAgents().find((agent) => agent.agent_id === "a");
  const update = next(b, "agent:update");
  const message = next(b, "message:status_update");
  await a.updateStatus("busy", "Reading");
  expect(await update).toMatchObject({
    agent_id: "a",
    presences: [{ status: "busy", task: "Reading", started_at: before?.started_at }],
  });
  expect((await message).payload).toEqual({ agent_id: "a", status: "busy", task: "Reading" });
  expect((await message).verified).toBe(false);
});

test("many changes of status in a moment neither cut the agent off nor get lost", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  const states: string[] = [];
  a.on("state", ({ to }) => states.push(to.name));
  const last = next(b, "message:status_update", ({ payload }) => payload.task === "11");
  for (let count = 0; count < 12; count++) await a.updateStatus("busy", String(count));
  await last;
  expect(states).toEqual([]);
  expect(names(b.getActiveAgents())).toContain("a");
});

test("an agent that shuts down has left, with that reason, and can come back", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  const left = next(a, "agent:leave");
  await b.shutdown();
  expect(await left).toMatchObject({ agent_id: "b", reason: "shutdown" });
  const joined = next(a, "agent:join");
  await bench.open("b");
  expect((await joined).agent_id).toBe("b");
});

test("two processes of one agent are one agent with two presences", async () => {
  const watcher = await bench.open("watcher");
  const first = await bench.open("twin");
  const update = next(watcher, "agent:update", ({ presences }) => presences.length === 2);
  const second = await bench.open("twin");
  expect(new Set((await update).presences.map((presence) => presence.instance_id)).size).toBe(2);
  const one = next(watcher, "agent:update", ({ presences }) => presences.length === 1);
  await first.shutdown();
  await one;
  expect(names(watcher.getActiveAgents())).toEqual(["twin", "watcher"]);
  await second.shutdown();
});

test("a direct message reaches its recipient, vouched for, and nobody else", async () => {
  const [a, b, c] = [await bench.open("a"), await bench.open("b"), await bench.open("c")];
  const others: CoordinationMessage[] = [];
  a.on("message:received", (message) => others.push(message));
  c.on("message:received", (message) => others.push(message));
  const received = next(b, "message:received");
  const typed = next(b, "message:greeting");
  const sent = await a.sendMessage("b", "greeting", { text: "hello" });
  expect(await received).toBe(await typed);
  expect(await typed).toMatchObject({
    id: sent.id,
    from_agent: "a",
    to_agent: "b",
    type: "greeting",
    payload: { text: "hello" },
    verified: true,
  });
  expect((await typed).timestamp).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  const end = next(c, "message:end");
  await a.sendMessage("c", "end", null);
  await end;
  expect(others.map((message) => message.type)).toEqual(["end"]);
});

test("messages of one sender arrive in the order of the calls", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  const heard: unknown[] = [];
  const last = next(b, "message:count", ({ payload }) => payload === 29);
  b.on("message:count", ({ payload }) => heard.push(payload));
  await Promise.all(Array.from({ length: 30 }, (_, count) => a.sendMessage("b", "count", count)));
  await last;
  expect(heard).toEqual(Array.from({ length: 30 }, (_, count) => count));
});

test("what was sent while an agent was away, or before it listened, is there when it listens", async () => {
  const a = await bench.open("a");
  await a.sendMessage("b", "news", 1);
  await a.sendMessage("b", "news", 2);
  const b = await bench.open("b");
  const heard: unknown[] = [];
  b.on("message:news", ({ payload }) => heard.push(payload));
  await until(b, ["message:news"], () => heard.length === 2);
  expect(heard).toEqual([1, 2]);
});

test("a handled message does not come again to the next process of the agent", async () => {
  const a = await bench.open("a");
  const b = await bench.open("b");
  const first = next(b, "message:once");
  await a.sendMessage("b", "once", "first");
  await first;
  await b.shutdown();
  await a.sendMessage("b", "once", "second");
  const again = await bench.open("b");
  expect((await next(again, "message:once")).payload).toBe("second");
});

test("a message or task addressed to oneself arrives", async () => {
  const a = await bench.open("a");
  const note = next(a, "message:note");
  await a.sendMessage("a", "note", { mine: true });
  expect(await note).toMatchObject({ from_agent: "a", to_agent: "a" });
  const task = next(a, "message:task_assignment");
  await a.assignTask({ task_id: "own", assigned_to: "a", description: "Mine" });
  expect((await task).payload.task_id).toBe("own");
});

test("a broadcast reaches all others and not oneself, and says that nobody vouches for it", async () => {
  const [a, b, c] = [await bench.open("a"), await bench.open("b"), await bench.open("c")];
  const own: CoordinationMessage[] = [];
  a.on("message:received", (message) => own.push(message));
  const heard = Promise.all([next(b, "message:news"), next(c, "message:news")]);
  await a.broadcast("news", { text: "all" });
  for (const message of await heard)
    expect(message).toMatchObject({ from_agent: "a", payload: { text: "all" }, verified: false });
  expect((await heard)[0].to_agent).toBeUndefined();
  const durable = next(b, "message:stored");
  await a.broadcast("stored", { text: "kept" }, { durable: true });
  expect(await durable).toMatchObject({ verified: true, payload: { text: "kept" } });
  const end = next(a, "message:end");
  await a.sendMessage("a", "end", null);
  await end;
  expect(own.map((message) => message.type)).toEqual(["end"]);
});

test("with high latency broadcasts are collected, and all arrive in order", async () => {
  const [a, b] = [await bench.open("a", { broadcastLatency: "high" }), await bench.open("b")];
  const heard: unknown[] = [];
  const last = next(b, "message:tick", ({ payload }) => payload === 49);
  b.on("message:tick", ({ payload }) => heard.push(payload));
  await Promise.all(Array.from({ length: 50 }, (_, count) => a.broadcast("tick", count)));
  await last;
  expect(heard).toEqual(Array.from({ length: 50 }, (_, count) => count));
});

test("knowledge and calls for help are stored and carry what the sender gave", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  const knowledge = next(b, "message:share_knowledge");
  await a.shareKnowledge("Found it", { findings: [1, 2], knowledge: "not this", from: "nor this" });
  expect(await knowledge).toMatchObject({
    verified: true,
    payload: {
      knowledge: "Found it",
      from: "a",
      findings: [1, 2],
      metadata: { findings: [1, 2], knowledge: "not this" },
    },
  });
  const help = next(b, "message:request_help");
  await a.requestHelp("Type error", { file: "api.ts" });
  expect((await help).payload).toEqual({ problem: "Type error", context: { file: "api.ts" }, from: "a" });
});

test("a task goes to its agent and its result to whoever assigned it", async () => {
  const [boss, worker] = [await bench.open("boss"), await bench.open("worker")];
  const task = {
    task_id: "t-1",
    assigned_to: "worker",
    description: "Analyse",
    priority: "high",
    topic: "AI",
  } as const;
  const assignment = next(worker, "message:task_assignment");
  const complete = next(boss, "message:task_complete");
  expect(await boss.assignTask(task)).toMatchObject({ task_id: "t-1", status: "assigned", topic: "AI" });
  expect((await assignment).payload).toEqual({ ...task, assigned_by: "boss" });
  expect(await worker.reportTaskComplete("t-1", { found: 5 })).toMatchObject({ status: "completed" });
  expect((await complete).payload).toEqual({ task_id: "t-1", result: { found: 5 }, completed_by: "worker" });
  expect(await boss.assignTask(task)).toMatchObject({ status: "completed" }); // the same again is the same
  await expect(boss.assignTask({ ...task, description: "Other" })).rejects.toMatchObject({
    code: "conflict",
  });
  await expect(boss.reportTaskComplete("t-1", {})).rejects.toMatchObject({ code: "forbidden" });
  await expect(worker.reportTaskComplete("unknown", {})).rejects.toMatchObject({ code: "not_found" });
});

test("a broadcast of a task type comes from the database, since task messages over the room are not believed", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  const heard = next(b, "message:task_complete");
  await a.broadcast("task_complete", { report: "done" });
  expect(await heard).toMatchObject({ verified: true, payload: { report: "done" } });
});

test.each([
  ["undefined", undefined],
  ["nothing", ""],
  ["a bad id", "a b"],
])("a message to %s is refused", async (_name, to) => {
  const a = await bench.open("a");
  // Callers without types pass such things.
  await expect(a.sendMessage(to as string, "x", {})).rejects.toMatchObject({ code: "invalid_argument" });
});

test("what cannot be sent is refused before it is sent", async () => {
  const a = await bench.open("a", { maxBroadcastBytes: 10_000 });
  await expect(a.sendMessage("b", "x", { run: () => 1 })).rejects.toMatchObject({ code: "invalid_argument" });
  await expect(a.broadcast("x", 1n)).rejects.toMatchObject({ code: "invalid_argument" });
  await expect(a.broadcast("", {})).rejects.toMatchObject({ code: "invalid_argument" });
  const tooMuch = "y".repeat(1_100_000);
  await expect(a.broadcast("x", tooMuch)).rejects.toMatchObject({ code: "too_large" });
  await expect(a.sendMessage("b", "x", tooMuch)).rejects.toMatchObject({ code: "too_large" });
  await expect(a.shareKnowledge(tooMuch)).rejects.toMatchObject({ code: "too_large" });
});

test("a large message arrives whole, although its announcement cannot carry it", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  const payload = { text: "x".repeat(400_000) };
  const direct = next(b, "message:large");
  await a.sendMessage("b", "large", payload);
  expect((await direct).payload).toEqual(payload);
  const toAll = next(b, "message:large_for_all");
  await a.broadcast("large_for_all", payload, { durable: true });
  expect((await toAll).payload).toEqual(payload);
  const overThePlan = next(b, "message:large_over_socket");
  await a.broadcast("large_over_socket", payload);
  expect(await overThePlan).toMatchObject({ payload, verified: true });
});

test("a listener that throws or rejects is reported and ends nothing", async () => {
  const errors: string[] = [];
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  b.on("error", ({ error, during }) => errors.push(`${during}: ${error.message}`));
  b.on("message:x", () => {
    throw new Error("thrown");
  });
  b.on("message:x", async () => {
    await Promise.reject(new Error("rejected"));
  });
  const both = until(b, ["error"], () => errors.length === 2);
  const heard = next(b, "message:x");
  await a.sendMessage("b", "x", {});
  await heard;
  await both;
  expect(errors.toSorted()).toEqual(["a listener of message:x: rejected", "a listener of message:x: thrown"]);
  expect(b.state.name).toBe("online");
});

test("memories of the tenant are told, one's own as well, large ones whole, and none where memory sync is off", async () => {
  const [a, b, deaf] = [
    await bench.open("a"),
    await bench.open("b"),
    await bench.open("deaf", { memorySync: false }),
  ];
  const unheard: string[] = [];
  deaf.on("memory:added", ({ id }) => unheard.push(id));
  const { url, anonKey, jwtSecret } = bench.stack;
  const adapter = createSupabaseAdapter({ url, anonKey, jwtSecret });
  await adapter.initialize();
  bench.defer(() => adapter.shutdown());
  const memory = {
    id: "m-1",
    tenant_id: bench.tenant,
    agent_id: "a",
    session_id: "s",
    content: "Important",
    metadata: { topic: "safety" },
  };
  const heard = Promise.all([next(a, "memory:added"), next(b, "memory:added")]);
  await adapter.storeMemory(memory);
  for (const event of await heard) {
    expect(event).toMatchObject({
      ...memory,
      type: "memory_added",
      embedding: null,
      timestamp: expect.any(String),
    });
  }
  const updated = next(b, "memory:updated");
  const content = "y".repeat(500_000);
  await adapter.storeMemory({ ...memory, content });
  expect((await updated).content).toBe(content);
  const end = next(deaf, "message:end");
  await a.sendMessage("deaf", "end", null);
  await end;
  expect(unheard).toEqual([]);
});

test("the statistics say what is", async () => {
  const a = await bench.open("a", {
    presenceHeartbeat: 12_345,
    metadata: { model: "m" },
    capabilities: ["review"],
  });
  expect(await a.getStats()).toMatchObject({
    tenant_id: bench.tenant,
    agent_id: "a",
    active_agents: 1,
    agents: [{ agent_id: "a", status: "online", metadata: { model: "m" }, capabilities: ["review"] }],
    channels: [
      `federation:${bench.tenant}`,
      `federation:${bench.tenant}:feed`,
      `federation:${bench.tenant}:agent:a`,
    ],
    heartbeat_interval: 12_345,
    memory_sync: true,
    state: "online",
  });
});

test("heartbeats keep the session, and reopen one that somebody closed", async () => {
  let isOpenAgain = (): void => {};
  const again = new Promise<void>((resolve) => (isOpenAgain = resolve));
  const a = await bench.open("a", {
    presenceHeartbeat: 50,
    log: (_level, message) => message === "the session had been closed and was opened again" && isOpenAgain(),
  });
  const { session_id } = await a.getStats();
  const b = await bench.open("b");
  const realtime = { transport: await resolveTransport() };
  const client = createClient(bench.stack.url, bench.stack.serviceRoleKey, { realtime });
  const { error } = await client.rpc("close_session", {
    session_id,
    reason: "test",
    as_agent: "a",
    as_tenant: bench.tenant,
  });
  expect(error).toBeNull();
  await again;
  expect(names(b.getActiveAgents())).toContain("a");
});

test("a hub stops when its signal aborts", async () => {
  const controller = new AbortController();
  const a = await bench.open("a", { signal: controller.signal });
  controller.abort();
  expect(await a.closed).toBeUndefined();
});

test("a client of one's own gives URL, key and token, wherever the token sits", async () => {
  const realtime = { transport: await resolveTransport() };
  const { url, anonKey } = bench.stack;
  const token = await bench.mint("a");
  const byHeader = createClient(url, anonKey, {
    global: { headers: { Authorization: `Bearer ${token}` } },
    realtime,
  });
  const a = createRealtimeHub("a", bench.tenant, { client: byHeader });
  bench.defer(() => a.shutdown());
  await a.initialize();
  const byCallback = createClient(url, anonKey, { accessToken: () => bench.mint("b"), realtime });
  const b = createRealtimeHub("b", bench.tenant, { client: byCallback });
  bench.defer(() => b.shutdown());
  await b.initialize();
  const heard = next(b, "message:x");
  await a.sendMessage("b", "x", {});
  expect((await heard).from_agent).toBe("a");
});

test("the service role key works for any agent, opaque keys mean the same as the old ones, and a log line says that policies are bypassed", async () => {
  const lines: string[] = [];
  const { serviceRoleKey, secretKey, publishableKey } = bench.stack;
  const a = await bench.open("a", {
    serviceRoleKey,
    log: (level, message) => lines.push(`${level} ${message}`),
  });
  const b = await bench.open("b", { serviceRoleKey: secretKey });
  const c = await bench.open("c", { anonKey: publishableKey });
  const heard = Promise.all([next(b, "message:x"), next(c, "message:y")]);
  await a.sendMessage("b", "x", {});
  await b.sendMessage("c", "y", {});
  expect((await heard).map((message) => message.from_agent)).toEqual(["a", "b"]);
  expect(lines).toContain("info the service role key is in use: row level security is bypassed");
});

test("deleteAgent and deleteTenant remove every trace, with the service role key only", async () => {
  const a = await bench.open("a");
  await a.sendMessage("b", "x", {});
  await a.shutdown();
  const { url, serviceRoleKey, anonKey } = bench.stack;
  const rows = await deleteAgent("a", bench.tenant, { url, serviceRoleKey });
  expect(rows["agent_sessions"]).toBe(1);
  expect(rows["agent_messages"]).toBe(1);
  await deleteTenant(bench.tenant, { url, serviceRoleKey });
  await expect(deleteTenant(bench.tenant, { url, serviceRoleKey: anonKey })).rejects.toSatisfy((error) =>
    isFederationError(error),
  );
});
