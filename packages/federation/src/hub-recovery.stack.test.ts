import { fork, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { serviceClient } from "./memory/testing/start-stack.node.ts";
import { createFreshDatabase, nativeUrl } from "../../../test-support/database.ts";
import { startLocalSupabase } from "../../local-supabase/src/index.ts";
import type { HubState } from "./hub/hub-state.ts";
import type { RealtimeFederationHub } from "./realtime-hub.ts";
import { createSupabaseAdapter } from "./supabase-adapter.ts";
import { migrationsDir, next, until, useHubBench } from "./testing/hub-bench.node.ts";
import { startTcpProxy, type TcpProxy } from "./testing/tcp-proxy.node.ts";

const bench = useHubBench();

/** Starts an agent in a process of its own and resolves when it has joined. */
async function startAgent(agentId: string, plan = "stay"): Promise<ChildProcess> {
  const { url, anonKey, jwtSecret } = bench.stack;
  const child = fork(fileURLToPath(new URL("./testing/agent-process.node.ts", import.meta.url)), {
    execArgv: ["--import", "tsx", "--conditions=@agent-federation/source"],
    env: {
      ...process.env,
      SUPABASE_URL: url,
      SUPABASE_ANON_KEY: anonKey,
      SUPABASE_JWT_SECRET: jwtSecret,
      AGENT_ID: agentId,
      AGENT_TENANT: bench.tenant,
      AGENT_PLAN: plan,
    },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  bench.defer(() => child.kill("SIGKILL"));
  await new Promise<void>((resolve, reject) => {
    let complaints = "";
    child.stderr?.on("data", (chunk: Buffer) => (complaints += chunk.toString()));
    child.once("message", () => resolve());
    child.once("exit", (code) => reject(new Error(`the agent process ended with ${code}: ${complaints}`)));
  });
  return child;
}

async function openProxy(): Promise<TcpProxy> {
  const proxy = await startTcpProxy(bench.stack.url);
  bench.defer(() => proxy.close());
  return proxy;
}

const becomes = (hub: RealtimeFederationHub, name: HubState["name"]): Promise<void> =>
  until(hub, ["state"], () => hub.state.name === name);

test("an agent process that is killed is seen to leave, and the same agent can come back", async () => {
  const watcher = await bench.open("watcher");
  const child = await startAgent("worker");
  await until(watcher, ["agent:join"], () => watcher.getActiveAgents().length === 2);
  const left = next(watcher, "agent:leave");
  child.kill("SIGKILL");
  expect(await left).toMatchObject({ agent_id: "worker", reason: "gone" });
  const joined = next(watcher, "agent:join");
  await bench.open("worker");
  expect((await joined).agent_id).toBe("worker");
});

test("a process whose hub was shut down ends by itself, with nothing left that would keep it", async () => {
  const child = await startAgent("brief", "leave");
  let left = "";
  child.stdout?.on("data", (chunk: Buffer) => (left += chunk.toString()));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(code).toBe(0);
  expect(JSON.parse(left)).toEqual([]);
});

test("after the network dropped every socket, the hub is back, shows itself again, and reads what it missed", async () => {
  const proxy = await openProxy();
  const a = await bench.open("a", { url: proxy.url });
  const b = await bench.open("b");
  const goings: string[] = [];
  b.on("agent:leave", ({ agent_id }) => goings.push(agent_id));
  await until(b, ["agent:join"], () => b.getActiveAgents().length === 2);
  await a.updateStatus("busy", "Digging");
  await until(b, ["agent:update"], () => b.getActiveAgents()[0]?.status === "busy");

  const heard: unknown[] = [];
  a.on("message:news", ({ payload }) => heard.push(payload));
  proxy.refuse();
  await becomes(a, "reconnecting");
  await b.sendMessage("a", "news", "direct");
  await b.broadcast("news", "to all", { durable: true });
  const back = next(b, "agent:join", ({ agent_id }) => agent_id === "a").then(() => "joined again");
  const present = until(b, ["agents:sync"], () => b.getActiveAgents().length === 2).then(
    () => "was never away",
  );
  proxy.restore();
  await becomes(a, "online");
  await until(a, ["message:news"], () => heard.length === 2);
  expect(new Set(heard)).toEqual(new Set(["direct", "to all"]));
  await (goings.length > 0 ? back : present);
  expect(b.getActiveAgents()[0]).toMatchObject({ agent_id: "a", status: "busy", task: "Digging" });
});

test("a short drop is neither leave nor join for the others", async () => {
  const proxy = await openProxy();
  const a = await bench.open("a", { url: proxy.url });
  // As long as the reconnect takes, however busy this machine is.
  const b = await bench.open("b", { presenceGraceMs: 60_000 });
  await until(b, ["agent:join"], () => b.getActiveAgents().length === 2);
  const events: string[] = [];
  b.on("agent:leave", () => events.push("leave"));
  b.on("agent:join", () => events.push("join"), { replay: false });
  const dropped = becomes(a, "reconnecting");
  proxy.cut();
  await dropped;
  await becomes(a, "online");
  const told = next(b, "message:back");
  await a.sendMessage("b", "back", null);
  await told;
  expect(events).toEqual([]);
  expect(b.getActiveAgents()).toHaveLength(2);
});

test("a broadcast made while the room is lost waits for it", async () => {
  const proxy = await openProxy();
  const [a, b] = [await bench.open("a", { url: proxy.url }), await bench.open("b")];
  const dropped = becomes(a, "reconnecting");
  proxy.cut();
  await dropped;
  const heard = next(b, "message:late");
  await a.broadcast("late", { still: "arrives" });
  expect((await heard).payload).toEqual({ still: "arrives" });
});

test("a network that swallows everything is noticed by the missing heartbeats", async () => {
  const proxy = await openProxy();
  const a = await bench.open("a", { url: proxy.url, socketHeartbeatMs: 200 });
  const lost = becomes(a, "reconnecting");
  proxy.swallow();
  await lost;
  proxy.restore();
  proxy.cut();
  await becomes(a, "online");
});

test("when the token runs out before a new one is there, the channels are built anew with the new one", async () => {
  let give = (_token: string): void => {};
  let calls = 0;
  const a = await bench.open("a", {
    requestTimeoutMs: 20_000,
    accessToken: async () =>
      calls++ === 0 ? bench.mint("a", undefined, 4) : new Promise<string>((resolve) => (give = resolve)),
  });
  const lost = next(a, "state", ({ to }) => to.name === "reconnecting");
  expect(await lost).toMatchObject({ to: { cause: { message: expect.stringMatching(/expired/i) } } });
  give(await bench.mint("a"));
  await becomes(a, "online");
  const heard = next(a, "message:x");
  await a.sendMessage("a", "x", {});
  await heard;
});

test("a token that is renewed in time is never noticed", async () => {
  const states: string[] = [];
  let calls = 0;
  let isRenewedTwice = (): void => {};
  const renewedTwice = new Promise<void>((resolve) => (isRenewedTwice = resolve));
  const a = await bench.open("a", {
    accessToken: () => {
      if (++calls === 4) isRenewedTwice(); // by then the first one has run out
      return bench.mint("a", undefined, 3);
    },
  });
  a.on("state", ({ to }) => states.push(to.name));
  await renewedTwice;
  const heard = next(a, "message:x");
  await a.sendMessage("a", "x", {});
  await heard;
  expect(states).toEqual([]);
});

test("hubs come back by themselves when the server restarts on its data", async () => {
  const kept = await keptDatabase();
  const first = await startLocalSupabase({ ...kept, migrationsDir, port: 0 });
  const { url, anonKey, jwtSecret } = first;
  const options = { url, anonKey, jwtSecret };
  const [a, b] = [await bench.open("a", options), await bench.open("b", options)];
  const lost = Promise.all([becomes(a, "reconnecting"), becomes(b, "reconnecting")]);
  await first.close();
  await lost;
  const second = await startLocalSupabase({
    ...kept,
    jwtSecret,
    migrationsDir,
    port: Number(new URL(url).port),
  });
  bench.defer(() => second.close());
  await Promise.all([becomes(a, "online"), becomes(b, "online")]);
  const heard = next(b, "message:after");
  await a.sendMessage("b", "after", { ok: true });
  expect((await heard).payload).toEqual({ ok: true });
}, 120_000);

/** Where a stack's data stays when it is closed: a folder, or a database of the native cluster. Gone after the test. */
async function keptDatabase(): Promise<{ readonly dataDir: string } | { readonly databaseUrl: string }> {
  if (nativeUrl === undefined) {
    const dataDir = await mkdtemp(path.join(tmpdir(), "hub-restart-"));
    bench.defer(() => rm(dataDir, { recursive: true, force: true }));
    return { dataDir };
  }
  const fresh = await createFreshDatabase(nativeUrl);
  bench.defer(() => fresh.drop());
  return { databaseUrl: fresh.url };
}

test("memories that changed while a hub was away are told once each, as they are now, in the order of the server", async () => {
  const proxy = await openProxy();
  const { url, anonKey, jwtSecret } = bench.stack;
  const adapter = createSupabaseAdapter({ url, anonKey, jwtSecret });
  bench.defer(() => adapter.shutdown());
  const store = (id: string, content: string, scope: "tenant" | "agent" = "tenant"): Promise<unknown> =>
    adapter.storeMemory({ id, tenant_id: bench.tenant, agent_id: "a", content, scope });
  await store("old", "1");
  await store("gone", "1");
  const [a, b] = [await bench.open("a", { url: proxy.url }), await bench.open("b", { url: proxy.url })];
  const told: Record<"a" | "b", string[]> = { a: [], b: [] };
  for (const [name, hub] of Object.entries({ a, b }) as ["a" | "b", RealtimeFederationHub][]) {
    for (const event of ["memory:added", "memory:updated", "memory:deleted"] as const)
      hub.on(event, ({ id, content }) => told[name].push(`${event.slice(7)} ${id} ${content}`));
  }
  const live = Promise.all([next(a, "memory:added"), next(b, "memory:added")]);
  await store("live", "1");
  await live;
  proxy.refuse();
  await Promise.all([becomes(a, "reconnecting"), becomes(b, "reconnecting")]);
  await store("first", "1");
  await store("second", "1");
  await store("old", "2");
  await store("old", "3");
  await adapter.deleteMemory("gone", bench.tenant);
  await store("private", "1", "agent");
  await store("live", "2");
  await store("first", "2");
  const last = Promise.all(
    [a, b].map((hub) =>
      until(hub, ["memory:updated"], () => told[hub === a ? "a" : "b"].includes("updated first 2")),
    ),
  );
  proxy.restore();
  await last;
  const after = Promise.all([next(a, "memory:added"), next(b, "memory:added")]);
  await store("after", "1");
  await after;
  const missed = [
    "added second 1",
    "updated old 3",
    "deleted gone null",
    "updated live 2",
    "updated first 2",
  ];
  expect(told.b).toEqual(["added live 1", ...missed, "added after 1"]);
  expect(told.a).toEqual(["added live 1", ...missed.toSpliced(3, 0, "added private 1"), "added after 1"]);
});

test("memories that changed between two processes of an agent are told to the second one, once each, as they are now", async () => {
  const { url, anonKey, jwtSecret } = bench.stack;
  const adapter = createSupabaseAdapter({ url, anonKey, jwtSecret });
  bench.defer(() => adapter.shutdown());
  const store = (id: string, content: string): Promise<unknown> =>
    adapter.storeMemory({ id, tenant_id: bench.tenant, agent_id: "b", content });
  const listen = (hub: RealtimeFederationHub): string[] => {
    const told: string[] = [];
    for (const event of ["memory:added", "memory:updated", "memory:deleted"] as const)
      hub.on(event, ({ id, content }) => told.push(`${event.slice(7)} ${id} ${content}`));
    return told;
  };
  await store("old", "1");
  const first = await bench.open("a");
  const toldFirst = listen(first);
  const live = next(first, "memory:added");
  await store("live", "1");
  await live;
  await first.shutdown();
  expect(toldFirst).toEqual(["added live 1"]);
  await store("live", "2");
  await store("new", "1");
  await store("live", "3");
  await adapter.deleteMemory("old", bench.tenant, { agent: "b" });
  const second = bench.make("a");
  const toldSecond = listen(second);
  const last = next(second, "memory:deleted");
  await second.initialize();
  await last;
  expect(toldSecond).toEqual(["added new 1", "updated live 3", "deleted old null"]);
});

test("of two processes of an agent the exclusive newer one stays, and the older one is told", async () => {
  const older = await bench.open("worker");
  const witness = await bench.open("witness");
  const newer = bench.make("worker", { exclusive: true });
  const gone = next(older, "state", ({ to }) => to.name === "closed");
  await newer.initialize();
  await gone;
  expect(await older.closed).toMatchObject({ code: "replaced" });
  await expect(older.sendMessage("witness", "note", {})).rejects.toMatchObject({ code: "closed" });
  await until(witness, ["agent:update", "agent:join"], () => {
    const worker = witness.getActiveAgents().find(({ agent_id }) => agent_id === "worker");
    return worker !== undefined && worker.started_at === newer.getActiveAgents().at(-1)?.started_at;
  });
  expect(newer.state.name).toBe("online");
});

test("a process that falls silent has left for everybody, with the reason timeout", async () => {
  const beats = { presenceHeartbeat: 200 };
  const watchers = [await bench.open("a", beats), await bench.open("b", beats)];
  const silent = await bench.open("silent");
  await Promise.all(
    watchers.map((hub) => until(hub, ["agent:join"], () => hub.getActiveAgents().length === 3)),
  );
  const left = watchers.map((hub) => next(hub, "agent:leave"));
  const { session_id } = await silent.getStats();
  const { error } = await serviceClient(bench.stack)
    .from("agent_sessions")
    .update({ last_seen_at: new Date(Date.now() - 91_000).toISOString() })
    .match({ tenant_id: bench.tenant, session_id });
  expect(error).toBeNull();
  for (const leave of await Promise.all(left))
    expect(leave).toMatchObject({ agent_id: "silent", reason: "timeout" });
  for (const hub of watchers) expect(hub.getActiveAgents()).toHaveLength(2);
});

test("load is part of what others see", async () => {
  const [worker, witness] = [await bench.open("worker"), await bench.open("witness")];
  const seen = next(witness, "agent:update", ({ presences }) => presences[0]?.load === 0.75);
  await worker.updateStatus("busy", "reading", { load: 0.75 });
  expect(await seen).toMatchObject({ agent_id: "worker", presences: [{ status: "busy", task: "reading" }] });
  await expect(worker.updateStatus("busy", "x", { load: 2 })).rejects.toMatchObject({
    code: "invalid_argument",
  });
});
