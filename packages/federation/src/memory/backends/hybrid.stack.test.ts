/** What is special about memories in two places: the network, other machines, crashes, and what is not held here. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createClient } from "@supabase/supabase-js";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { resolveTransport } from "../../connection/transport.ts";
import { startTcpProxy, type TcpProxy } from "../../testing/tcp-proxy.node.ts";
import type { StoredMemory } from "../memory.ts";
import { mintAgentToken } from "../../tokens/mint-agent-token.ts";
import type { AdapterOptions, SupabaseFederationAdapter } from "../../supabase-adapter.ts";
import { Arrivals, freshTenant, serviceClient } from "../testing/start-stack.node.ts";
import { BackendFixture, codeOf, idsOf, memoryOf } from "./testing/backend-fixture.node.ts";

let fixture: BackendFixture;
const proxies: TcpProxy[] = [];
beforeAll(async () => {
  fixture = await BackendFixture.start();
});
afterEach(async () => {
  await fixture?.afterEach();
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});
afterAll(() => fixture?.stack.close());

const hybrid = (more: AdapterOptions = {}): Promise<SupabaseFederationAdapter> =>
  fixture.open("hybrid", more);
const server = (): Promise<SupabaseFederationAdapter> => fixture.open("pgvector");

const tokenOf = (tenantId: string, agentId: string): Promise<string> =>
  mintAgentToken({ secret: fixture.stack.jwtSecret, tenantId, agentId });

const awayProxy = async (): Promise<TcpProxy> => {
  const proxy = await startTcpProxy(fixture.stack.url);
  proxies.push(proxy);
  return proxy;
};

const urlOf = (input: RequestInfo | URL): string =>
  typeof input === "string" ? input : input instanceof URL ? input.href : input.url;

/** Pulls until a memory is here: on a native Postgres a pull stops short of every transaction that runs, anybody's. */
const pulled = async (adapter: SupabaseFederationAdapter, tenant: string, id: string): Promise<void> => {
  while (!idsOf(await adapter.queryMemories(tenant)).includes(id)) await adapter.sync({ tenant });
};

/** Resolves when the sync's state is as wanted. */
const whenState = (
  adapter: SupabaseFederationAdapter,
  isWanted: (state: NonNullable<SupabaseFederationAdapter["syncState"]>) => boolean,
): Promise<void> =>
  new Promise((resolve) => {
    const stop = adapter.on("sync", (state) => {
      if (!isWanted(state)) return;
      stop();
      resolve();
    });
    const { syncState } = adapter;
    if (syncState === undefined || !isWanted(syncState)) return;
    stop();
    resolve();
  });

test("with the network away memories are stored, found and kept; when it is back the server has them", async () => {
  const tenant = freshTenant();
  const proxy = await awayProxy();
  proxy.refuse();
  const options = { url: proxy.url, dataDir: await fixture.folder(), requestTimeoutMs: 2_000 };
  const first = await hybrid(options);
  await first.initialize();
  await first.storeMemory(memoryOf(tenant, { id: "a", content: "dark water", embedding: [1, 0] }));
  await first.storeMemory(memoryOf(tenant, { id: "b", content: "light", embedding: [0, 1] }));
  expect(idsOf(await first.semanticSearch([1, 0.1], tenant))).toEqual(["a", "b"]);
  expect(idsOf((await first.search({ tenant, text: "water" })).matches)).toEqual(["a"]);
  expect(await first.getStats(tenant)).toMatchObject({
    total_memories: 2,
    active_sessions: null,
    tenant_id: tenant,
  });
  await whenState(first, ({ lastError }) => lastError !== undefined);
  expect(first.syncState).toMatchObject({ pending: 2, isOnline: false, lastError: { code: "unreachable" } });
  // What is not here may be there: nobody can tell, and that is said.
  expect(await codeOf(first.getMemory("elsewhere", tenant))).toBe("unreachable");
  await first.shutdown();

  const second = await hybrid(options);
  expect(idsOf(await second.queryMemories(tenant)).toSorted()).toEqual(["a", "b"]);
  await second.storeMemory(memoryOf(tenant, { id: "a", content: "dark water, again" }));
  await second.deleteMemory("b", tenant);
  expect(idsOf(await (await server()).queryMemories(tenant))).toEqual([]);
  proxy.restore();
  await second.sync({ tenant });
  expect(await (await server()).queryMemories(tenant)).toMatchObject([
    { id: "a", content: "dark water, again" },
  ]);
  expect(second.syncState).toMatchObject({ pending: 0, deadLetters: 0, isOnline: true });
});

test("a 403 of something on the way says nothing of the memories: they wait", async () => {
  const tenant = freshTenant();
  let isBlocked = true;
  const blocked = (): Response =>
    new Response("<html>Please sign in to this network</html>", { status: 403 });
  const adapter = await hybrid({
    fetch: (input, init) =>
      isBlocked && urlOf(input).includes("push_memories") ? Promise.resolve(blocked()) : fetch(input, init),
  });
  await adapter.storeMemory(memoryOf(tenant, { id: "precious" }));
  await whenState(adapter, ({ lastError }) => lastError?.code === "forbidden");
  expect(adapter.syncState).toMatchObject({ pending: 1, deadLetters: 0 });
  expect(await adapter.getMemory("precious", tenant)).toMatchObject({ id: "precious" });
  isBlocked = false;
  await adapter.sync({ tenant });
  expect(idsOf(await (await server()).queryMemories(tenant))).toEqual(["precious"]);
});

test("what one machine stores, another has a moment later, and is told of once", async () => {
  const tenant = freshTenant();
  const [ann, bob] = [await hybrid(), await hybrid({ agentId: "bob" })];
  await Promise.all([ann.queryMemories(tenant), bob.queryMemories(tenant)]);
  await Promise.all([ann.sync({ tenant }), bob.sync({ tenant })]);
  const told = new Arrivals<string>();
  bob.subscribeToMemories(tenant, ({ id, content }, change) => told.take(`${change} ${id} ${content}`));
  await ann.storeMemory(memoryOf(tenant, { id: "m", content: "one" }));
  expect(await told.next()).toBe("added m one");
  expect((await bob.getMemory("m", tenant))?.content).toBe("one");
  await ann.storeMemory(memoryOf(tenant, { id: "m", content: "two" }));
  expect(await told.next()).toBe("updated m two");
  await ann.deleteMemory("m", tenant);
  await ann.sync({ tenant });
  await (await server()).storeMemory(memoryOf(tenant, { id: "direct", content: "from the database" }));
  expect(await told.next()).toBe("added direct from the database");
  await pulled(bob, tenant, "direct");
  while ((await bob.getMemory("m", tenant)) !== undefined) await bob.sync({ tenant });
  await pulled(ann, tenant, "direct");
  expect(idsOf(await ann.queryMemories(tenant))).toEqual(["direct"]);
  expect(told.pending).toEqual([]);
});

test("two machines that write the same memories at the same time end up alike, and like the server", async () => {
  const tenant = freshTenant();
  const machines = [await hybrid(), await hybrid()];
  await Promise.all(
    machines.flatMap((machine, which) =>
      Array.from({ length: 20 }, async (_, number) => {
        // Asked for at the same time, the deletions may come last: of one that nobody deletes something stays.
        const id = `m${number % 5}`;
        if (number % 6 === which && id !== "m4") await machine.deleteMemory(id, tenant);
        else await machine.storeMemory(memoryOf(tenant, { id, content: `${which} ${number}` }));
      }),
    ),
  );
  for (let round = 0; round < 2; round++) for (const machine of machines) await machine.sync({ tenant });
  const contents = async (adapter: SupabaseFederationAdapter): Promise<string[]> =>
    (await adapter.queryMemories(tenant))
      .map(({ id, content, version }) => `${id} ${version} ${content}`)
      .toSorted();
  const expected = await contents(await server());
  expect(expected.at(-1)).toMatch(/^m4 /);
  for (const machine of machines) expect(await contents(machine)).toEqual(expected);
});

test("of two machines that both know a version and write over it one is refused with both versions", async () => {
  const tenant = freshTenant();
  const [one, two] = [await hybrid(), await hybrid()];
  await one.storeMemory(memoryOf(tenant, { content: "first" }), { ifVersion: 0 });
  await pulled(two, tenant, "mem-001");
  for (const version of [1, 2, 3]) {
    const write = (machine: SupabaseFederationAdapter, content: string): Promise<StoredMemory> =>
      machine.storeMemory(memoryOf(tenant, { content: `${content} ${version}` }), { ifVersion: version });
    const outcomes = await Promise.allSettled([write(one, "one"), write(two, "two")]);
    const refused = outcomes.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
    const message = expect.stringMatching(new RegExp(`version ${version}.*version ${version + 1}`)) as string;
    expect(refused).toMatchObject([{ code: "conflict", message }]);
    // Whose write was taken has it here at once.
    const winner = outcomes[0].status === "fulfilled" ? one : two;
    expect(await winner.getMemory("mem-001", tenant)).toMatchObject({ version: version + 1 });
    const there = await (await server()).getMemory("mem-001", tenant);
    for (const machine of [one, two])
      while ((await machine.getMemory("mem-001", tenant))?.version !== version + 1)
        await machine.sync({ tenant });
    expect(await one.getMemory("mem-001", tenant)).toEqual(there);
    expect(await two.getMemory("mem-001", tenant)).toEqual(there);
  }
});

test("a write that expects a version is refused while nobody can say which it is, and knows what waits here", async () => {
  const tenant = freshTenant();
  const proxy = await awayProxy();
  const away = await hybrid({ url: proxy.url, requestTimeoutMs: 2_000 });
  await away.sync({ tenant });
  proxy.refuse();
  const write = (content: string, ifVersion?: number): Promise<StoredMemory> =>
    away.storeMemory(memoryOf(tenant, { content }), { ifVersion });
  expect(await codeOf(write("new", 0))).toBe("unreachable");
  for (const content of ["one", "two", "three"]) await write(content);
  expect(await codeOf(write("stale", 2))).toBe("conflict");
  expect(await codeOf(write("away", 3))).toBe("unreachable");
  expect((await away.getMemory("mem-001", tenant))?.content).toBe("three");
  proxy.restore();
  // The server has never heard of the first two.
  expect(await write("four", 3)).toMatchObject({ version: 2, content: "four" });
  expect(await write("five", 2)).toMatchObject({ version: 3 });

  proxy.refuse();
  await write("offline");
  await (await server()).storeMemory(memoryOf(tenant, { content: "a later one" }));
  proxy.restore();
  expect(await codeOf(write("over what it never saw", 4))).toBe("conflict");
  expect((await away.getMemory("mem-001", tenant))?.content).toBe("a later one");
});

test("a process that is killed loses nothing that was acknowledged", async () => {
  const tenant = freshTenant();
  const proxy = await awayProxy();
  proxy.refuse();
  const { anonKey, jwtSecret } = fixture.stack;
  const dataDir = await fixture.folder();
  const program = fileURLToPath(new URL("testing/storing-process.node.ts", import.meta.url));
  const args = ["--import", "tsx", program, tenant, dataDir, proxy.url, anonKey, jwtSecret];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const acknowledged = new Map<string, string>();
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [id = "", content = ""] = line.split(" ");
    acknowledged.set(id, content);
    if (++lines === 1500) child.kill("SIGKILL");
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  expect(child.signalCode).toBe("SIGKILL");
  const adapter = await hybrid({ dataDir, url: proxy.url });
  // Writes that were under way when it died may be there as well: the id after the last one.
  const isLater = (id: string, content: string): boolean => {
    const found = Number(content);
    return found >= lines && `m${found % 500}` === id;
  };
  const held = new Map(
    (await adapter.queryMemories(tenant, undefined, 1_000)).map(({ id, content }) => [id, content]),
  );
  const lost = [...acknowledged].filter(([id, content]) => {
    const found = held.get(id);
    if (found !== undefined && isLater(id, found)) return false;
    return content === "-"
      ? found !== undefined
      : found !== content && !(lines % 7 === 3 && id === `m${lines % 500}`);
  });
  expect(lost).toEqual([]);
  proxy.restore();
  await adapter.sync({ tenant });
  const there = await (await server()).queryMemories(tenant, undefined, 1_000);
  expect(new Map(there.map(({ id, content }) => [id, content]))).toEqual(held);
});

test("a shutdown that drains leaves nothing behind; one whose waiting is ended says so and loses nothing", async () => {
  const tenant = freshTenant();
  const draining = await hybrid();
  await draining.storeMemories(Array.from({ length: 300 }, (_, at) => memoryOf(tenant, { id: `m${at}` })));
  await draining.shutdown({ drain: true });
  expect((await (await server()).getStats(tenant)).total_memories).toBe(300);

  const proxy = await awayProxy();
  proxy.refuse();
  const options = { url: proxy.url, dataDir: await fixture.folder() };
  const away = await hybrid(options);
  await away.storeMemory(memoryOf(tenant, { id: "late" }));
  const stop = new AbortController();
  const closing = away.shutdown({ drain: true, signal: stop.signal });
  stop.abort(new Error("not that long"));
  await expect(closing).rejects.toThrow("not that long");
  proxy.restore();
  const again = await hybrid(options);
  await again.queryMemories(tenant);
  await again.shutdown({ drain: true });
  expect(await (await server()).getMemory("late", tenant)).toBeDefined();
});

test("what an earlier process left unsent is sent whatever tenants this one names, if it may act for them", async () => {
  const [named, left, late] = [freshTenant(), freshTenant(), freshTenant()];
  const proxy = await awayProxy();
  const options = { url: proxy.url, dataDir: await fixture.folder() };
  const isThere = async (tenant: string): Promise<boolean> =>
    (await (await server()).getMemory("mem-001", tenant)) !== undefined;
  const leave = async (...tenants: string[]): Promise<void> => {
    proxy.refuse();
    const away = await hybrid(options);
    for (const tenant of tenants) await away.storeMemory(memoryOf(tenant));
    await away.shutdown();
    proxy.restore();
  };
  await leave(left, named);
  const begun = await hybrid(options);
  await begun.initialize();
  await whenState(begun, ({ pending, pushed }) => pending === 0 && pushed === 2);
  expect([await isThere(left), await isThere(named)]).toEqual([true, true]);
  await begun.shutdown();

  await leave(late);
  const draining = await hybrid(options);
  await draining.queryMemories(named);
  await draining.shutdown({ drain: true });
  expect(await isThere(late)).toBe(true);

  const others = freshTenant();
  await leave(others);
  // A token of one tenant cannot bring what is another's: it waits, and is no dead letter.
  const accessToken = await tokenOf(named, "ann");
  const narrow = await hybrid({ ...options, jwtSecret: undefined, accessToken });
  await narrow.initialize();
  await narrow.storeMemory(memoryOf(named, { content: "by the way" }));
  await narrow.shutdown({ drain: true });
  expect([await isThere(others), (await (await server()).getMemory("mem-001", named))?.content]).toEqual([
    false,
    "by the way",
  ]);
  const again = await hybrid(options);
  await again.initialize();
  await again.sync();
  expect([await isThere(others), again.syncState?.deadLetters]).toEqual([true, 0]);
});

test("with the sync switched off nothing goes up or down, and everything else works", async () => {
  const tenant = freshTenant();
  const dataDir = await fixture.folder();
  await (await server()).storeMemory(memoryOf(tenant, { id: "there" }));
  const quiet = await hybrid({ memorySync: false, dataDir });
  await quiet.initialize();
  const told = new Arrivals<string>();
  quiet.subscribeToMemories(tenant, ({ id }, change) => told.take(`${change} ${id}`));
  await quiet.storeMemory(memoryOf(tenant, { id: "here" }));
  expect(await told.next()).toBe("added here");
  expect(idsOf(await quiet.queryMemories(tenant))).toEqual(["here"]);
  expect(await codeOf(quiet.sync({ tenant }))).toBe("invalid_state");
  expect(quiet.syncState).toMatchObject({ pending: 1, tenants: { [tenant]: { phase: "off" } } });
  await quiet.shutdown();
  const loud = await hybrid({ dataDir });
  await loud.sync({ tenant });
  expect(idsOf(await loud.queryMemories(tenant)).toSorted()).toEqual(["here", "there"]);
  expect(await (await server()).getMemory("here", tenant)).toBeDefined();
});

test("a change that the server refuses blocks nothing, is told of, and can be dropped or sent again", async () => {
  const tenant = freshTenant();
  const proxy = await awayProxy();
  proxy.refuse();
  const ann = await hybrid({ url: proxy.url });
  await ann.storeMemory(memoryOf(tenant, { id: "taken", content: "anns" }));
  await ann.storeMemory(memoryOf(tenant, { id: "taken too", content: "anns" }));
  await ann.storeMemory(memoryOf(tenant, { id: "fine" }));
  const other = await server();
  for (const id of ["taken", "taken too"])
    await other.storeMemory(memoryOf(tenant, { id, agent_id: "bob", scope: "agent" })); // which ann cannot see
  const refused = new Arrivals<string>();
  ann.on("refused", ({ memories }) => memories.forEach(({ id, code }) => refused.take(`${id} ${code}`)));
  proxy.restore();
  await ann.sync({ tenant });
  expect([await refused.next(), await refused.next()]).toEqual(["taken 42501", "taken too 42501"]);
  expect(await other.getMemory("fine", tenant)).toBeDefined();
  const letters = await ann.deadLetters(tenant);
  expect(letters).toMatchObject([
    { id: "taken", tenant_id: tenant, code: "42501", memory: { content: "anns" } },
    { id: "taken too" },
  ]);
  expect(await ann.dropDeadLetter(tenant, letters[0]?.place ?? -1)).toBe(true);
  expect(await ann.dropDeadLetter(tenant, letters[0]?.place ?? -1)).toBe(false);
  await ann.sync({ tenant });
  expect(await ann.getMemory("taken", tenant)).toBeUndefined();
  const client = serviceClient(fixture.stack);
  await client.from("agent_memories").delete().eq("tenant_id", tenant).eq("id", "taken too");
  expect(await ann.retryDeadLetter(tenant, letters[1]?.place ?? -1)).toBe(true);
  await ann.sync({ tenant });
  expect((await other.getMemory("taken too", tenant))?.content).toBe("anns");
  expect(await ann.deadLetters(tenant)).toEqual([]);
});

test("where not everything is held a search says so, and asks the server when told to", async () => {
  const tenant = freshTenant();
  const direct = await server();
  await direct.storeMemories(
    Array.from({ length: 40 }, (_, at) =>
      memoryOf(tenant, {
        id: `m${at}`,
        content: `water ${at}`,
        embedding: [1, at],
        created_at: new Date(1_700_000_000_000 + at * 1000).toISOString(),
      }),
    ),
  );
  const small = await hybrid({ maxLocalMemories: 10 });
  await small.queryMemories(tenant);
  await whenState(small, ({ tenants }) => tenants[tenant]?.coverage === "limited");
  const here = await small.search({ tenant, embedding: [1, 0], limit: 3 });
  expect(here.coverage).toBe("limited");
  expect(idsOf(here.matches)).not.toContain("m0");
  const everywhere = await small.search({ tenant, embedding: [1, 0], limit: 3, coverage: "all" });
  expect(everywhere.coverage).toBe("all");
  expect(idsOf(everywhere.matches)).toEqual(["m0", "m1", "m2"]);
  const said = await small.search({ tenant, text: "water", limit: 50, coverage: "all" });
  expect(said.matches).toHaveLength(40);
  expect((await small.getMemory("m0", tenant))?.content).toBe("water 0");
  expect((await small.getStats(tenant)).total_memories).toBe(40);
  expect(await small.deleteMemory("m0", tenant)).toBe(true);
  expect(await direct.getMemory("m0", tenant)).toBeUndefined();
  expect(await small.deleteMemories({ tenant, until: new Date(1_700_000_020_000).toISOString() })).toBe(19);
  expect((await direct.getStats(tenant)).total_memories).toBe(20);

  const filtered = await hybrid({ syncFilter: { agents: ["bob"] } });
  await direct.storeMemory(memoryOf(tenant, { id: "bobs", agent_id: "bob", embedding: [1, 0] }));
  await filtered.queryMemories(tenant);
  await pulled(filtered, tenant, "bobs");
  expect(idsOf(await filtered.queryMemories(tenant))).toEqual(["bobs"]);
  expect((await filtered.search({ tenant, embedding: [1, 0] })).coverage).toBe("filtered");
  expect((await filtered.search({ tenant, embedding: [1, 0], filter: { agent: "bob" } })).coverage).toBe(
    "all",
  );
});

test("a memory that is stored while it is deleted on the server stays", async () => {
  const tenant = freshTenant();
  const direct = await server();
  const elsewhere = await hybrid({ syncFilter: { agents: ["bob"] } }); // holds none of ann's
  await elsewhere.sync({ tenant });
  for (const id of ["a", "b", "c"]) {
    await direct.storeMemory(memoryOf(tenant, { id, content: "before" }));
    const deleting = elsewhere.deleteMemory(id, tenant);
    await elsewhere.storeMemory(memoryOf(tenant, { id, content: "after" }));
    expect(await deleting).toBe(true);
    await elsewhere.sync({ tenant });
    expect((await direct.getMemory(id, tenant))?.content).toBe("after");
  }
});

test("a store is one adapter's at a time, and one project's", async () => {
  const tenant = freshTenant();
  const dataDir = await fixture.folder();
  const first = await hybrid({ dataDir, store: "shared" });
  await first.storeMemory(memoryOf(tenant));
  const second = await hybrid({ dataDir, store: "shared" });
  expect(await codeOf(second.initialize())).toBe("locked");
  expect(await codeOf(second.queryMemories(tenant))).toBe("locked");
  await first.shutdown();
  expect(idsOf(await second.queryMemories(tenant))).toEqual(["mem-001"]);
  await second.shutdown();
  const proxy = await awayProxy(); // another URL is another project
  const elsewhere = await hybrid({ dataDir, store: "shared", url: proxy.url });
  expect(await codeOf(elsewhere.queryMemories(tenant))).toBe("conflict");
  await elsewhere.shutdown();
  const local = await fixture.open("agentdb", { dataDir, store: "shared" });
  expect(await codeOf(local.queryMemories(tenant))).toBe("conflict");
});

test("with an agent's token a machine holds what that agent may read, and writes for nobody else, offline too", async () => {
  const tenant = freshTenant();
  const direct = await server();
  await direct.storeMemory(memoryOf(tenant, { id: "bobs own", agent_id: "bob", scope: "agent" }));
  await direct.storeMemory(memoryOf(tenant, { id: "anns own", scope: "agent" }));
  await direct.storeMemory(memoryOf(tenant, { id: "all", agent_id: "bob" }));
  const proxy = await awayProxy();
  const token = await tokenOf(tenant, "ann");
  const ann = await hybrid({ url: proxy.url, jwtSecret: undefined, accessToken: token });
  await ann.sync({ tenant });
  expect(idsOf(await ann.queryMemories(tenant)).toSorted()).toEqual(["all", "anns own"]);
  expect((await ann.getStats(tenant)).total_memories).toBe(2);
  proxy.refuse();
  expect(await codeOf(ann.storeMemory(memoryOf(tenant, { agent_id: "bob" })))).toBe("forbidden");
  expect(await codeOf(ann.storeMemory(memoryOf(freshTenant())))).toBe("forbidden");
  expect(await codeOf(ann.queryMemories(freshTenant()))).toBe("forbidden");
  expect(await codeOf(ann.sync({ tenant: freshTenant() }))).toBe("forbidden");
  expect(await codeOf(ann.deadLetters(freshTenant()))).toBe("forbidden");
  expect(await codeOf(ann.deleteMemory("all", tenant))).toBe("forbidden");
  expect(await codeOf(ann.storeMemory(memoryOf(tenant, { id: "anns own", content: "changed" })))).toBe(
    "resolved",
  );
});

test("a memory that its agent keeps to itself from now on leaves the machines of the others", async () => {
  const tenant = freshTenant();
  const ann = await hybrid({ jwtSecret: undefined, accessToken: await tokenOf(tenant, "ann") });
  const bob = await hybrid({ jwtSecret: undefined, accessToken: await tokenOf(tenant, "bob") });
  await bob.storeMemory(memoryOf(tenant, { id: "m", agent_id: "bob", content: "for all" }));
  await bob.sync({ tenant });
  await ann.sync({ tenant });
  expect(await ann.getMemory("m", tenant)).toBeDefined();
  await bob.storeMemory(memoryOf(tenant, { id: "m", agent_id: "bob", content: "mine", scope: "agent" }));
  await bob.sync({ tenant });
  await ann.sync({ tenant });
  expect(await ann.getMemory("m", tenant)).toBeUndefined();
  expect((await bob.getMemory("m", tenant))?.content).toBe("mine");
});

test("what somebody says in the room, or tries to say on the feed, changes nobody's store", async () => {
  const tenant = freshTenant();
  const ann = await hybrid();
  await ann.storeMemory(memoryOf(tenant, { id: "real", content: "true" }));
  await ann.sync({ tenant });
  const mallory = createClient(fixture.stack.url, fixture.stack.anonKey, {
    accessToken: () => tokenOf(tenant, "mallory"),
    realtime: { transport: await resolveTransport() },
  });
  await mallory.realtime.setAuth();
  const forged = { ...memoryOf(tenant, { id: "real", content: "forged" }), version: 99, seq: 10_000 };
  const payload = { op: "updated", memories: [forged, { ...forged, id: "made up" }] };
  const say = async (topic: string): Promise<string> => {
    const channel = mallory.channel(topic, { config: { private: true, broadcast: { ack: true } } });
    await new Promise<void>(
      (resolve) => void channel.subscribe((status) => status === "SUBSCRIBED" && resolve()),
    );
    return await channel.send({ type: "broadcast", event: "memory", payload }, { timeout: 1_000 });
  };
  expect(await say(`federation:${tenant}`)).toBe("ok");
  expect(await say(`federation:${tenant}:feed`)).not.toBe("ok");
  await mallory.removeAllChannels();
  await ann.sync({ tenant });
  expect(await ann.queryMemories(tenant)).toMatchObject([{ id: "real", content: "true", version: 1 }]);
});
