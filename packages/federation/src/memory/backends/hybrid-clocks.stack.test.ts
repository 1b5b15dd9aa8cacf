/** Whose clock counts where memories are in two places, and when who is asked. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { systemClock, type Clock } from "../../runtime/clock.ts";
import type { AdapterOptions, SupabaseFederationAdapter } from "../../supabase-adapter.ts";
import { mintAgentToken } from "../../tokens/mint-agent-token.ts";
import { freshTenant } from "../testing/start-stack.node.ts";
import { BackendFixture, idsOf, memoryOf } from "./testing/backend-fixture.node.ts";

let fixture: BackendFixture;
beforeAll(async () => {
  fixture = await BackendFixture.start();
});
afterEach(() => fixture?.afterEach());
afterAll(() => fixture?.stack.close());

const hour = 3_600_000;

/** Tokens that are made by a wrong clock would be none to the server. */
const byService = (more: AdapterOptions): Promise<SupabaseFederationAdapter> =>
  fixture.open("hybrid", {
    jwtSecret: undefined,
    serviceRoleKey: fixture.stack.serviceRoleKey,
    ...more,
  });

const urlOf = (input: RequestInfo | URL): string => (input instanceof Request ? input.url : String(input));

/** The clock of a machine whose time of day somebody sets. */
class SetClock implements Clock {
  aheadMs = 0;
  now(): number {
    return systemClock.now() + this.aheadMs;
  }
  elapsed(): number {
    return performance.now();
  }
  after(ms: number, run: () => void): () => void {
    return systemClock.after(ms, run);
  }
}

/** Nobody asks the server meanwhile but the adapter itself. */
async function whenHeld(adapter: SupabaseFederationAdapter, tenant: string, id: string): Promise<void> {
  while (!idsOf(await adapter.queryMemories(tenant, undefined, 1_000)).includes(id)) await nextState(adapter);
}

function nextState(adapter: SupabaseFederationAdapter): Promise<void> {
  return new Promise((resolve) => {
    const stop = adapter.on("sync", () => {
      stop();
      resolve();
    });
  });
}

test("what expires, expires by the server's clock, however wrong that of the machine is", async () => {
  const tenant = freshTenant();
  const direct = await fixture.open("pgvector");
  const told = { content: "water", embedding: [1, 2] };
  await direct.storeMemory(memoryOf(tenant, { ...told, id: "an hour" }), { ttlSeconds: 3_600 });
  const clock = new SetClock();
  clock.aheadMs = 5 * hour;
  const wrong = await byService({ clock });
  await wrong.sync({ tenant });
  expect(idsOf(await wrong.queryMemories(tenant))).toEqual(["an hour"]);
  expect(idsOf(await wrong.semanticSearch([1, 2], tenant))).toEqual(["an hour"]);
  expect(idsOf((await wrong.search({ tenant, text: "water" })).matches)).toEqual(["an hour"]);
  const mine = await wrong.storeMemory(memoryOf(tenant, { id: "mine" }), { ttlSeconds: 3_600 });
  const lastsMs = Date.parse(mine.expires_at ?? "") - Date.now();
  expect(Math.abs(lastsMs - hour)).toBeLessThan(60_000);
  await wrong.sync({ tenant });
  expect(idsOf(await direct.queryMemories(tenant)).toSorted()).toEqual(["an hour", "mine"]);
});

test("a machine whose clock is set hours ahead while it runs sends no write from the future", async () => {
  const tenant = freshTenant();
  const clock = new SetClock();
  const sent: number[] = [];
  const machine = await byService({
    clock,
    fetch: (input, init) => {
      if (urlOf(input).includes("push_memories") && typeof init?.body === "string") {
        const { memories } = JSON.parse(init.body) as { memories: { hlc: { ms: number } }[] };
        sent.push(...memories.map(({ hlc }) => hlc.ms - systemClock.now()));
      }
      return fetch(input, init);
    },
  });
  const other = await fixture.open("hybrid");
  await machine.sync({ tenant });
  clock.aheadMs = 5 * hour;
  await machine.storeMemory(memoryOf(tenant, { id: "m", content: "by the wrong clock" }));
  await machine.sync({ tenant });
  expect(sent.length).toBeGreaterThan(0);
  for (const aheadMs of sent) expect(aheadMs).toBeLessThan(60_000);
  await other.sync({ tenant });
  await other.storeMemory(memoryOf(tenant, { id: "m", content: "later" }));
  await other.sync({ tenant });
  await machine.sync({ tenant });
  expect((await machine.getMemory("m", tenant))?.content).toBe("later");
});

test("a server that says when to come back is not asked before, whoever calls, and is read meanwhile", async () => {
  const tenant = freshTenant();
  let pushes = 0;
  const machine = await fixture.open("hybrid", {
    fetch: (input, init) => {
      if (!urlOf(input).includes("push_memories")) return fetch(input, init);
      pushes += 1;
      return Promise.resolve(new Response("{}", { status: 503, headers: { "retry-after": "1800" } }));
    },
  });
  await machine.sync({ tenant });
  const busy = new Promise<void>((resolve) => {
    machine.on("sync", ({ lastError }) => (lastError?.code === "busy" ? resolve() : undefined));
  });
  await machine.storeMemory(memoryOf(tenant));
  await busy;
  const stop = new AbortController();
  const forced = machine.sync({ tenant, signal: stop.signal });
  await (await fixture.open("pgvector")).storeMemory(memoryOf(tenant, { id: "by another" }));
  await whenHeld(machine, tenant, "by another");
  expect(pushes).toBe(1);
  expect(machine.syncState).toMatchObject({ pending: 1, deadLetters: 0 });
  stop.abort(new Error("not that long"));
  await expect(forced).rejects.toThrow("not that long");
});

test("what an agent keeps to itself reaches its other machine by its inbox, and says nothing to anybody else", async () => {
  const tenant = freshTenant();
  const tokenOf = (agentId: string): Promise<string> =>
    mintAgentToken({ secret: fixture.stack.jwtSecret, tenantId: tenant, agentId });
  const open = async (agent: string): Promise<SupabaseFederationAdapter> => {
    const accessToken = await tokenOf(agent);
    const adapter = await fixture.open("hybrid", {
      jwtSecret: undefined,
      accessToken,
      agentId: agent,
      syncInterval: 24 * hour,
    });
    await adapter.sync({ tenant });
    return adapter;
  };
  const [desk, laptop, bob] = [await open("ann"), await open("ann"), await open("bob")];
  const own = memoryOf(tenant, { id: "own", scope: "agent", content: "for ann" });
  const held = whenHeld(laptop, tenant, "own");
  await desk.storeMemory(own);
  await held;
  await desk.storeMemory(memoryOf(tenant, { id: "all" }));
  await whenHeld(bob, tenant, "all");
  expect(idsOf(await bob.queryMemories(tenant))).toEqual(["all"]);
});
