import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { startTestStack } from "../../../test-support/stack.ts";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTcpProxy } from "./testing/tcp-proxy.node.ts";
import { isFederationError } from "./runtime/errors.ts";
import { mintAgentToken } from "./tokens/mint-agent-token.ts";
import {
  Arrivals,
  freshTenant,
  serviceClient,
  startStack,
  type TestStack,
} from "./memory/testing/start-stack.node.ts";
import {
  createSupabaseAdapter,
  SupabaseFederationAdapter,
  type AdapterOptions,
  type StoredMemory,
} from "./supabase-adapter.ts";

let stack: TestStack;
const opened: SupabaseFederationAdapter[] = [];

beforeAll(async () => {
  stack = await startStack();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((adapter) => adapter.shutdown()));
});
afterAll(() => stack?.close());

const open = (credential: AdapterOptions): SupabaseFederationAdapter => {
  const adapter = createSupabaseAdapter({ url: stack.url, anonKey: stack.anonKey, ...credential });
  opened.push(adapter);
  return adapter;
};
const withSecret = (more: AdapterOptions = {}) => open({ jwtSecret: stack.jwtSecret, ...more });
const withServiceKey = () => open({ serviceRoleKey: stack.serviceRoleKey });
const withToken = async (tenantId: string, agentId: string) =>
  open({ accessToken: await mintAgentToken({ secret: stack.jwtSecret, tenantId, agentId }) });

/** Each way in which an adapter may prove who it is, acting for "ann" of the tenant. */
const credentials: readonly [name: string, (tenant: string) => Promise<SupabaseFederationAdapter>][] = [
  ["the JWT secret", async () => withSecret()],
  ["the service role key", async () => withServiceKey()],
  ["an agent's token", (tenant) => withToken(tenant, "ann")],
];

const memory = (tenant_id: string, more: object = {}) => ({
  id: "mem-001",
  tenant_id,
  agent_id: "ann",
  session_id: "session-001",
  content: "Important finding",
  ...more,
});

const codeOf = async (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "resolved",
    (error: unknown) => (isFederationError(error) ? error.code : String(error)),
  );

test.each(credentials)(
  "with %s a memory is stored as it was given, without a registered session",
  async (_, as) => {
    const tenant = freshTenant();
    const adapter = await as(tenant);
    await adapter.initialize();
    const content = 'Zeilen\n"Anführung" \\u0000 ist Text, 😀 auch, null, {"a":1}';
    const metadata = { topic: "safety", confidence: 0.95, deep: [{ "a.b": null }, "1", 1, true], empty: {} };
    const stored = await adapter.storeMemory(
      memory(tenant, {
        content,
        metadata,
        embedding: [0.5, -0.25, 3],
        embedding_model: "m",
        source: { file: "a.md" },
      }),
    );
    expect(stored).toMatchObject({
      id: "mem-001",
      tenant_id: tenant,
      agent_id: "ann",
      session_id: "session-001",
      version: 1,
    });
    expect(await adapter.queryMemories(tenant)).toEqual([stored]);
    expect(stored).toMatchObject({
      content,
      metadata,
      embedding: [0.5, -0.25, 3],
      embedding_model: "m",
      source: { file: "a.md" },
    });
    expect(await adapter.getStats(tenant)).toMatchObject({
      total_memories: 1,
      active_sessions: 0,
      backend: "supabase",
      vector_backend: "pgvector",
      tenant_id: tenant,
    });
  },
);

test.each(credentials)("with %s a session is registered, busy, listed and ended", async (_, as) => {
  const tenant = freshTenant();
  const adapter = await as(tenant);
  const session = await adapter.registerSession("session-001", tenant, "ann", { model: "small" });
  expect(session).toMatchObject({
    session_id: "session-001",
    agent_id: "ann",
    status: "online",
    metadata: { model: "small" },
  });
  expect(await adapter.updateSessionStatus("session-001", "busy")).toMatchObject({
    status: "busy",
    ended_at: null,
  });
  expect((await adapter.getActiveSessions(tenant)).map((each) => [each.session_id, each.status])).toEqual([
    ["session-001", "busy"],
  ]);
  const ended = await adapter.updateSessionStatus("session-001", "completed");
  expect(ended).toMatchObject({ status: "offline", end_reason: "completed", ended_at: expect.any(String) });
  expect(await adapter.getActiveSessions(tenant)).toEqual([]);
});

test("storing an id again replaces the memory, and the same content again changes nothing", async () => {
  const tenant = freshTenant();
  const adapter = withSecret();
  const first = await adapter.storeMemory(memory(tenant));
  expect(await adapter.storeMemory(memory(tenant))).toEqual(first);
  const second = await adapter.storeMemory(memory(tenant, { content: "Better" }));
  expect([second.version, second.content]).toEqual([2, "Better"]);
  expect(await adapter.queryMemories(tenant)).toHaveLength(1);
});

test("vectors of several dimensions live together, and a search compares only its own", async () => {
  const tenant = freshTenant();
  const adapter = withSecret();
  const spike = (dimensions: number, at: number): number[] =>
    Array.from({ length: dimensions }, (_, index) => (index === at ? 2 : 0.01));
  for (const dimensions of [1, 3, 384, 1536, 4096]) {
    for (const at of dimensions === 1 ? [0] : [0, 1, 2]) {
      await adapter.storeMemory(
        memory(tenant, { id: `d${dimensions}-${at}`, embedding: spike(dimensions, at) }),
      );
    }
  }
  await adapter.storeMemory(memory(tenant, { id: "no-vector" }));
  for (const dimensions of [3, 384, 1536, 4096]) {
    const [best, ...others] = await adapter.semanticSearch(spike(dimensions, 1), tenant);
    expect(best?.id).toBe(`d${dimensions}-1`);
    expect(best?.similarity).toBeCloseTo(1, 5);
    expect(others.map((each) => each.id).toSorted()).toEqual([`d${dimensions}-0`, `d${dimensions}-2`]);
    expect(others.every((each) => each.similarity < 0.5)).toBe(true);
  }
  expect((await adapter.semanticSearch([-1], tenant)).map((each) => [each.id, each.similarity])).toEqual([
    ["d1-0", -1],
  ]);
  expect(await adapter.semanticSearch(spike(3, 0), tenant, 2)).toHaveLength(2);
  expect(await adapter.semanticSearch(Float32Array.of(1, 2), tenant)).toEqual([]);
});

test("more memories than one answer holds come all, newest first and once each", async () => {
  const tenant = freshTenant();
  const rows = Array.from({ length: 2345 }, (_, index) => ({
    id: `mem-${index}`,
    agent_id: index % 3 === 0 ? "ann" : "bob",
    content: `number ${index}`,
    // Many share a moment, which the order must survive.
    created_at: new Date(1_700_000_000_000 + Math.floor(index / 100) * 1000).toISOString(),
    embedding: [1, index],
  }));
  const client = serviceClient(stack);
  for (let at = 0; at < rows.length; at += 500) {
    const { error } = await client.rpc("store_memories", {
      memories: rows.slice(at, at + 500),
      as_tenant: tenant,
    });
    expect(error).toBeNull();
  }
  const adapter = withSecret();
  const all = await adapter.queryMemories(tenant, undefined, 10_000);
  expect(all).toHaveLength(rows.length);
  expect(new Set(all.map((each) => each.id)).size).toBe(rows.length);
  const times = all.map((each) => Date.parse(each.created_at));
  expect(times).toEqual(times.toSorted((a, b) => b - a));
  expect(await adapter.queryMemories(tenant)).toEqual(all.slice(0, 100));
  expect(await adapter.queryMemories(tenant, undefined, 1500)).toEqual(all.slice(0, 1500));
  expect(await adapter.queryMemories(tenant, "ann", 10_000)).toEqual(
    all.filter((each) => each.agent_id === "ann"),
  );
  expect(await adapter.semanticSearch([1, 0], tenant, 2000)).toHaveLength(2000);
});

test("an expired memory is never returned, and a clean-up removes it for good", async () => {
  const tenant = freshTenant();
  const other = freshTenant();
  const adapter = withSecret();
  const past = new Date(Date.now() - 1000).toISOString();
  const future = new Date(Date.now() + 3_600_000).toISOString();
  await adapter.storeMemory(memory(tenant, { id: "gone", expires_at: past, embedding: [1] }));
  await adapter.storeMemory(memory(tenant, { id: "stays", expires_at: future, embedding: [1] }));
  await withSecret().storeMemory(memory(other, { id: "gone", expires_at: past }));
  expect((await adapter.queryMemories(tenant)).map((each) => each.id)).toEqual(["stays"]);
  expect((await adapter.semanticSearch([1], tenant)).map((each) => each.id)).toEqual(["stays"]);
  expect((await adapter.getStats(tenant)).total_memories).toBe(1);
  expect(await adapter.cleanupExpiredMemories()).toBe(1);
  expect(await adapter.cleanupExpiredMemories()).toBe(0);
  // The service role cleans up every tenant.
  expect(await withServiceKey().cleanupExpiredMemories()).toBe(1);
});

test("an agent's token acts as that agent in its tenant and nowhere else", async () => {
  const tenant = freshTenant();
  const ann = await withToken(tenant, "ann");
  await ann.initialize();
  expect(await codeOf(ann.storeMemory(memory(freshTenant())))).toBe("forbidden");
  expect(await codeOf(ann.storeMemory(memory(tenant, { agent_id: "bob" })))).toBe("forbidden");
  expect(await codeOf(ann.queryMemories(freshTenant()))).toBe("forbidden");
  expect(await codeOf(ann.semanticSearch([1], freshTenant()))).toBe("forbidden");
  expect(await codeOf(ann.getActiveSessions(freshTenant()))).toBe("forbidden");
  expect(await codeOf(ann.registerSession("s", tenant, "bob"))).toBe("forbidden");
  expect(await codeOf(ann.getStats(freshTenant()))).toBe("forbidden");
  await expect(ann.queryMemories("stranger")).rejects.toThrow(
    /ann's of tenant .* cannot act in tenant stranger/,
  );
});

test("another tenant reads, finds, changes and ends nothing", async () => {
  const tenant = freshTenant();
  const elsewhere = freshTenant();
  const owner = await withToken(tenant, "ann");
  await owner.storeMemory(memory(tenant, { embedding: [1, 2] }));
  await owner.registerSession("session-001", tenant, "ann");
  const stranger = await withToken(elsewhere, "ann");
  await stranger.initialize();
  expect(await stranger.queryMemories(elsewhere)).toEqual([]);
  expect(await stranger.semanticSearch([1, 2], elsewhere)).toEqual([]);
  expect(await stranger.getActiveSessions(elsewhere)).toEqual([]);
  expect(await codeOf(stranger.updateSessionStatus("session-001", "offline"))).toBe("not_found");
  // The same id in another tenant is another memory.
  await stranger.storeMemory(memory(elsewhere, { content: "mine" }));
  expect((await owner.queryMemories(tenant)).map((each) => each.content)).toEqual(["Important finding"]);
  expect((await owner.getActiveSessions(tenant)).map((each) => each.session_id)).toEqual(["session-001"]);
});

test("what an agent keeps to itself is for nobody else in its tenant", async () => {
  const tenant = freshTenant();
  const [ann, bob] = [await withToken(tenant, "ann"), await withToken(tenant, "bob")];
  await ann.storeMemory(memory(tenant, { scope: "agent", embedding: [1] }));
  expect(await ann.queryMemories(tenant)).toHaveLength(1);
  expect(await bob.queryMemories(tenant, "ann")).toEqual([]);
  expect(await bob.semanticSearch([1], tenant)).toEqual([]);
  expect((await bob.getStats(tenant)).total_memories).toBe(0);
  expect(await codeOf(bob.storeMemory(memory(tenant, { agent_id: "bob" })))).toBe("forbidden");
  // With the secret the call says who is asking.
  expect(await withSecret().queryMemories(tenant, "ann")).toHaveLength(1);
  expect(await withSecret().queryMemories(tenant)).toEqual([]);
});

test("the anon key alone is refused with what to do, wrong keys and tokens are refused by the project", async () => {
  await expect(open({}).initialize()).rejects.toThrow(/accessToken.*SUPABASE_JWT_SECRET/);
  expect(await codeOf(open({}).queryMemories("t"))).toBe("credentials");
  expect(await codeOf(open({ jwtSecret: "not-the-secret-of-this-project-at-all" }).initialize())).toBe(
    "unauthorized",
  );
  expect(await codeOf(open({ serviceRoleKey: `sb_secret_${"x".repeat(31)}` }).initialize())).toBe(
    "unauthorized",
  );
  const expired = await mintAgentToken({
    secret: stack.jwtSecret,
    tenantId: "t",
    agentId: "ann",
    ttlSeconds: 60,
    issuedAtSeconds: Math.floor(Date.now() / 1000) - 3600,
  });
  expect(await codeOf(open({ accessToken: expired }).initialize())).toBe("unauthorized");
  expect(await codeOf(open({ accessToken: stack.anonKey }).initialize())).toBe("credentials");
});

test("a server that is not there is an error, within the time that a call may take", async () => {
  const adapter = open({ url: "http://127.0.0.1:1", jwtSecret: stack.jwtSecret, requestTimeoutMs: 500 });
  expect(await codeOf(adapter.initialize())).toBe("unreachable");
  expect(await codeOf(adapter.storeMemory(memory("t")))).toBe("timeout");
});

test("a project without the migrations is an error that says how to apply them", async () => {
  const bare = await startTestStack();
  try {
    const adapter = open({ url: bare.url, anonKey: bare.anonKey, jwtSecret: bare.jwtSecret });
    await expect(adapter.initialize()).rejects.toMatchObject({
      code: "schema_missing",
      remedy: expect.stringContaining("supabase db push"),
    });
  } finally {
    await bare.close();
  }
});

test("a program that only stores something ends by itself, without a shutdown", async () => {
  const door = new URL("index.ts", import.meta.url).href;
  const program = `
    const { createSupabaseAdapter } = await import(${JSON.stringify(door)});
    const adapter = createSupabaseAdapter();
    await adapter.initialize();
    await adapter.registerSession("s", "short", "ann");
    await adapter.storeMemory({ id: "m", tenant_id: "short", agent_id: "ann", content: "stored" });`;
  const { url, anonKey, jwtSecret } = stack;
  const env = {
    PATH: process.env["PATH"],
    SUPABASE_URL: url,
    SUPABASE_ANON_KEY: anonKey,
    SUPABASE_JWT_SECRET: jwtSecret,
  };
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  await promisify(execFile)(process.execPath, args, { env });
  expect((await withSecret().queryMemories("short")).map((each) => each.content)).toEqual(["stored"]);
});

test("instead of keys, an adapter takes a supabase-js client of the caller's", async () => {
  const tenant = freshTenant();
  const client = serviceClient(stack);
  const adapter = createSupabaseAdapter({ client });
  opened.push(adapter);
  await adapter.initialize();
  await adapter.storeMemory(memory(tenant));
  expect(await adapter.queryMemories(tenant)).toHaveLength(1);
});

test("a subscription tells of what is stored and changed from now on, by whomever, with its content", async () => {
  const tenant = freshTenant();
  const [ann, bob] = [await withToken(tenant, "ann"), await withToken(tenant, "bob")];
  await ann.storeMemory(memory(tenant, { id: "before" }));
  const arrivals = new Arrivals<[StoredMemory, string]>();
  const unsubscribe = bob.subscribeToMemories(tenant, (each, change) => arrivals.take([each, change]));
  const own = await bob.storeMemory(memory(tenant, { id: "own", agent_id: "bob", embedding: [1, 2] }));
  expect(await arrivals.next()).toEqual([own, "added"]);
  const large = "x".repeat(600_000);
  const other = await ann.storeMemory(memory(tenant, { id: "large", content: large }));
  expect(await arrivals.next()).toEqual([other, "added"]);
  await ann.storeMemory(memory(tenant, { id: "secret", scope: "agent" }));
  const changed = await ann.storeMemory(memory(tenant, { id: "before", content: "changed" }));
  expect(await arrivals.next()).toEqual([changed, "updated"]);
  unsubscribe();
  unsubscribe();
  expect(arrivals.pending).toEqual([]);
});

test("what was stored while a subscriber was cut off is told once it is back, once each and in order", async () => {
  const tenant = freshTenant();
  const proxy = await startTcpProxy(stack.url);
  try {
    const away = withSecret({ url: proxy.url });
    const arrivals = new Arrivals<string>();
    away.subscribeToMemories(tenant, ({ id, content }, change) =>
      arrivals.take(`${change} ${id} ${content}`),
    );
    await away.storeMemory(memory(tenant, { id: "live" }));
    expect(await arrivals.next()).toBe("added live Important finding");
    proxy.refuse();
    const here = withSecret();
    for (const id of ["first", "second", "third"]) await here.storeMemory(memory(tenant, { id }));
    await here.storeMemory(memory(tenant, { id: "first", content: "changed" }));
    await here.storeMemory(memory(tenant, { id: "live", content: "changed" }));
    proxy.restore();
    const told = [await arrivals.next(), await arrivals.next(), await arrivals.next(), await arrivals.next()];
    expect(told).toEqual([
      "added second Important finding",
      "added third Important finding",
      "updated first changed",
      "updated live changed",
    ]);
    await here.storeMemory(memory(tenant, { id: "last" }));
    expect(await arrivals.next()).toBe("added last Important finding");
    expect(arrivals.pending).toEqual([]);
  } finally {
    await Promise.all(opened.splice(0).map((adapter) => adapter.shutdown()));
    await proxy.close();
  }
});

test("a subscriber of another tenant, and one whose callback throws, harm nobody", async () => {
  const tenant = freshTenant();
  const adapter = withSecret();
  const failures: string[] = [];
  const logging = withSecret({ log: (level, message) => void (level === "error" && failures.push(message)) });
  const elsewhere = new Arrivals<StoredMemory>();
  adapter.subscribeToMemories(freshTenant(), elsewhere.take);
  const arrivals = new Arrivals<StoredMemory>();
  logging.subscribeToMemories(tenant, (each) => {
    arrivals.take(each);
    throw new Error("mine");
  });
  await logging.storeMemory(memory(tenant, { id: "first" }));
  await logging.storeMemory(memory(tenant, { id: "second" }));
  expect([(await arrivals.next()).id, (await arrivals.next()).id]).toEqual(["first", "second"]);
  expect(failures).toEqual([
    "a subscribeToMemories callback failed",
    "a subscribeToMemories callback failed",
  ]);
  expect(elsewhere.pending).toEqual([]);
});

test("after shutdown nothing answers, and shutting down twice is the same", async () => {
  const adapter = withSecret();
  await adapter.initialize();
  adapter.subscribeToMemories("t", () => undefined);
  expect(adapter.shutdown()).toBe(adapter.shutdown());
  await adapter.shutdown();
  expect(await codeOf(adapter.queryMemories("t"))).toBe("closed");
  expect(() => adapter.subscribeToMemories("t", () => undefined)).toThrow(/shut down/);
});

test("the constructor of the class takes what the factory takes", async () => {
  const adapter = new SupabaseFederationAdapter({
    url: stack.url,
    anonKey: stack.anonKey,
    serviceRoleKey: stack.serviceRoleKey,
    vectorBackend: "pgvector",
  });
  opened.push(adapter);
  await adapter.initialize();
});
