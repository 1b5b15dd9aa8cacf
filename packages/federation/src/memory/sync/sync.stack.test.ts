import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { systemClock, type Clock } from "../../runtime/clock.ts";
import { isFederationError } from "../../runtime/errors.ts";
import { silentLog } from "../../runtime/log.ts";
import { ActingFor } from "../acting.ts";
import { resolveAdapterOptions } from "../adapter-options.ts";
import type { MemoryRow } from "../memory-row.ts";
import { quietClock } from "../quiet-clock.ts";
import { freshTenant, serviceClient, startStack, type TestStack } from "../testing/start-stack.node.ts";
import { RestSyncServer } from "./rest-sync-server.ts";
import { RetryAfterFetch } from "./retry-after.ts";
import { SyncEngine, type SyncEngineOptions } from "./sync-engine.ts";
import type { SyncChange, SyncSummary } from "./sync-state.ts";
import { livingIn } from "./testing/engine-bench.ts";
import { MemoryTenantStore } from "./testing/memory-tenant-store.ts";
import { rowOf, type WriteKind } from "./testing/sim-replica.ts";
import { mulberry32 } from "./testing/simulation.ts";

let stack: TestStack;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  stack = await startStack();
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => stack?.close());

/** The way of one machine to the stack: cut, nothing arrives; deaf, requests arrive and answers do not. */
class Line {
  state: "open" | "cut" | "deaf" = "open";
  requests = 0;
  readonly fetch: typeof fetch = async (input, init) => {
    this.requests += 1;
    if (this.state === "cut") throw new TypeError("fetch failed: the line is cut");
    const response = await fetch(input, init);
    if (this.state === "open") return response;
    await response.arrayBuffer();
    throw new TypeError("fetch failed: the line was cut before the answer");
  };
}

interface Machine {
  readonly engine: SyncEngine;
  readonly store: MemoryTenantStore;
  readonly line: Line;
  readonly told: SyncChange[];
  readonly write: (id: string, content: string, kind?: WriteKind) => Promise<MemoryRow>;
}

let machines = 0;

function open(
  tenantId: string,
  agent: string,
  { clock = systemClock, at = stack, ...options }: Partial<SyncEngineOptions> & { at?: TestStack } = {},
): Machine {
  const line = new Line();
  const noted = new RetryAfterFetch(line.fetch, systemClock);
  const { url, anonKey, jwtSecret } = at;
  const resolved = resolveAdapterOptions(
    { url, anonKey, jwtSecret, fetch: noted.fetch, agentId: agent },
    { environment: {}, inBrowser: false },
  );
  const acting = new ActingFor(resolved, quietClock(systemClock, true));
  const server = new RestSyncServer({
    acting,
    tenantId,
    agentId: agent,
    retryAfterMs: () => noted.retryAfterMs(),
  });
  const store = new MemoryTenantStore();
  const engine = new SyncEngine({
    store,
    server,
    writer: `${agent}/${++machines}`,
    isEnabled: true,
    syncIntervalMs: 3_600_000,
    requestTimeoutMs: 10_000,
    clock,
    random: Math.random,
    log: silentLog,
    ...options,
  });
  const told: SyncChange[] = [];
  engine.on("changes", ({ changes }) => void told.push(...changes));
  closing.push(async () => {
    await engine.close();
    await acting.close();
  });
  const write: Machine["write"] = async (id, content, kind = "put") => {
    const held = store.get(id);
    const hlc = engine.stamp(held?.hlc);
    const version = (held?.version ?? 0) + 1;
    const row = rowOf({ id, agent, kind, content, nowMs: systemClock.now(), version, hlc });
    await store.write([{ row }], { outbox: true });
    engine.wrote();
    return row;
  };
  return { engine, store, line, told, write };
}

/** What the database holds, asked for by the official client. */
async function onServer(tenant: string): Promise<string[]> {
  const { data, error } = await serviceClient(stack)
    .from("agent_memories")
    .select("id,content")
    .eq("tenant_id", tenant)
    .is("deleted_at", null);
  if (error !== null) throw error;
  return data.map(({ id, content }) => `${id} ${content}`).toSorted();
}

/** Twice, since the first to pull may do so before the last has pushed; a database that others write to as well may hold something back. */
const syncAll = async (all: readonly Machine[]): Promise<void> => {
  const round = (): Promise<SyncSummary[]> => Promise.all(all.map(({ engine }) => engine.sync()));
  await round();
  while ((await round()).some(({ isHeldBack }) => isHeldBack));
};

test("what two machines wrote while they were cut off is on both afterwards, embeddings and all", async () => {
  const tenant = freshTenant();
  const [ann, ben] = [open(tenant, "ann"), open(tenant, "ben")];
  await syncAll([ann, ben]);
  for (const { line } of [ann, ben]) line.state = "cut";
  const plain = await ann.write("a1", "by ann");
  const full: MemoryRow = {
    ...plain,
    id: 'a "2", (ü)',
    embedding: Float32Array.from([0.1, -0.25, 1e-7, 3]),
    embedding_model: "m",
    metadata: { topic: "db", tags: ["x", null], deep: { n: 1.5 } },
    source: { file: "a.md" },
    session_id: "s-1",
    hlc: ann.engine.stamp(),
  };
  await ann.store.write([{ row: full }], { outbox: true });
  await ben.write("b1", "by ben");
  await expect(ann.engine.sync()).rejects.toMatchObject({ code: "unreachable" });
  for (const { line } of [ann, ben]) line.state = "open";
  await syncAll([ann, ben]);
  expect(livingIn(ann.store)).toEqual(livingIn(ben.store));
  expect(livingIn(ben.store)).toEqual(await onServer(tenant));
  const { embedding, embedding_model, metadata, source, session_id, hlc } = full;
  expect(ben.store.get(full.id)).toMatchObject({
    embedding,
    embedding_model,
    metadata,
    source,
    session_id,
    hlc,
  });
  expect(ann.store.get(full.id)).toEqual(ben.store.get(full.id));
  expect(ben.told.map(({ change, row }) => `${change} ${row.id}`).toSorted()).toEqual(
    [`added ${full.id}`, "added a1", "added b1"].toSorted(),
  );
});

test("of two writes of one memory the later one is everywhere, whoever came first", async () => {
  const tenant = freshTenant();
  const [desk, laptop] = [open(tenant, "ann"), open(tenant, "ann")];
  await desk.write("m", "first");
  await syncAll([desk, laptop]);
  for (const { line } of [desk, laptop]) line.state = "cut";
  await desk.write("m", "earlier");
  await desk.write("gone", "written on the desk");
  const later = await laptop.write("m", "later");
  desk.line.state = laptop.line.state = "open";
  await laptop.engine.sync();
  await syncAll([desk, laptop]);
  for (const { store } of [desk, laptop])
    expect(store.get("m")).toMatchObject({ content: "later", hlc: later.hlc });
  await laptop.write("gone", "", "delete");
  await syncAll([laptop, desk]);
  for (const { store } of [desk, laptop]) expect(livingIn(store)).toEqual(["m later"]);
  expect(await onServer(tenant)).toEqual(["m later"]);
});

test("an answer that is lost makes no second write", async () => {
  const tenant = freshTenant();
  const [ann, ben] = [open(tenant, "ann"), open(tenant, "ben")];
  await syncAll([ann, ben]);
  ann.line.state = "deaf";
  await ann.write("m", "once");
  await expect(ann.engine.sync()).rejects.toMatchObject({ code: "unreachable" });
  expect(await onServer(tenant)).toEqual(["m once"]);
  expect(ann.engine.state.pending).toBe(1);
  ann.line.state = "open";
  await syncAll([ann, ben]);
  expect(ann.engine.state.pending).toBe(0);
  expect(ben.store.get("m")).toMatchObject({ content: "once", version: 1 });
  expect(ben.told).toHaveLength(1);
});

test.each([
  [1_000, 2_500],
  [90, 500],
])("a server that gives %i rows an answer takes %i that were written at once", async (maxRows, amount) => {
  const at = maxRows === 1_000 ? stack : await startStack({ maxRows });
  if (at !== stack) closing.push(() => at.close());
  const ann = open(freshTenant(), "ann", { at });
  const rows = Array.from({ length: amount }, (__, n) => {
    const [id, hlc] = [`m${n}`, ann.engine.stamp()];
    return rowOf({ id, agent: "ann", kind: "put", content: id, nowMs: systemClock.now(), version: 1, hlc });
  });
  await ann.store.write(
    rows.map((row) => ({ row })),
    { outbox: true },
  );
  expect(await ann.engine.sync()).toMatchObject({ pushed: amount, refused: 0, pending: 0 });
  expect(ann.engine.state.lastError).toBeUndefined();
});

test("what the server refuses becomes a dead letter, and what it has is here", async () => {
  const tenant = freshTenant();
  const [ann, ben] = [open(tenant, "ann"), open(tenant, "ben")];
  await ann.write("m", "ann's");
  await ann.engine.sync();
  await ben.write("m", "ben's");
  await ben.write("fine", "ben's own");
  await syncAll([ben]);
  expect(ben.store.deadLetters()).toMatchObject([{ code: "42501", row: { content: "ben's" } }]);
  expect(livingIn(ben.store)).toEqual(["fine ben's own", "m ann's"]);
});

test("what an agent keeps to itself reaches nobody else, also where it was everybody's before", async () => {
  const tenant = freshTenant();
  const [ann, ben, annToo] = [open(tenant, "ann"), open(tenant, "ben"), open(tenant, "ann")];
  await ann.write("open", "for all");
  await ann.write("own", "for ann", "private");
  await syncAll([ann, ben, annToo]);
  expect(livingIn(ben.store)).toEqual(["open for all"]);
  expect(livingIn(annToo.store)).toEqual(["open for all", "own for ann"]);
  await ann.write("open", "not any more", "private");
  await syncAll([ann, ben, annToo]);
  expect(livingIn(ben.store)).toEqual([]);
  expect(JSON.stringify([...ben.store.data.rows.values()])).not.toContain("not any more");
  expect(ben.told.at(-1)).toMatchObject({ change: "deleted", row: { id: "open" } });
});

test("a machine whose clock is hours ahead does not win for ever", async () => {
  const tenant = freshTenant();
  const ahead: Clock = {
    now: () => systemClock.now() + 5 * 3_600_000,
    after: (ms, run) => systemClock.after(ms, run),
  };
  const [wrong, right] = [open(tenant, "ann", { clock: ahead }), open(tenant, "ann")];
  await wrong.write("m", "from the future");
  await syncAll([wrong, right]);
  expect(right.store.get("m")).toMatchObject({ content: "from the future" });
  await right.write("m", "later");
  await syncAll([right, wrong]);
  for (const { store } of [wrong, right]) expect(store.get("m")).toMatchObject({ content: "later" });
});

test("after a new epoch everything is compared: what is not pushed stays, what the server lost goes", async () => {
  const tenant = freshTenant();
  const [ann, ben] = [open(tenant, "ann"), open(tenant, "ben")];
  await ann.write("kept", "on the server");
  await ann.write("lost", "by a restore");
  await syncAll([ann, ben]);
  ben.line.state = "cut";
  await ben.write("new", "not pushed yet");
  const service = serviceClient(stack);
  const removed = await service.from("agent_memories").delete().eq("tenant_id", tenant).eq("id", "lost");
  expect(removed.error).toBeNull();
  expect((await service.rpc("new_epoch")).error).toBeNull();
  ben.line.state = "open";
  await syncAll([ann, ben]);
  const expected = ["kept on the server", "new not pushed yet"];
  expect([livingIn(ann.store), livingIn(ben.store), await onServer(tenant)]).toEqual([
    expected,
    expected,
    expected,
  ]);
});

// `SYNC_MEMORIES=500` makes it 10,000 in all, of which each of the 20 reads every one: minutes on an embedded database.
const each = Number(process.env["SYNC_MEMORIES"] ?? 100);

test(`20 agents store ${each} memories each while they are cut off at random: all have all of them`, async () => {
  const tenant = freshTenant();
  const random = mulberry32(20_500);
  const all = Array.from({ length: 20 }, (_, n) => open(tenant, `agent-${n}`));
  await Promise.all(
    all.map(async ({ write, line, engine }, n) => {
      for (let place = 0; place < each; place++) {
        await write(`${n}-${place}`, `memory ${place} of agent ${n}`);
        if (random() < 0.05)
          line.state = (["open", "open", "cut", "deaf"] as const)[Math.floor(random() * 4)]!;
        if (place % 50 === 49) await engine.sync().catch(() => undefined); // as far as the line lets it
      }
      line.state = "open";
      await engine.drain();
    }),
  );
  // On a busy machine an answer may take too long: then the engine asks for less, as it would by itself a little later.
  const synced = (engine: SyncEngine, tries = 0): Promise<unknown> =>
    engine.sync().catch((error: unknown) => {
      if (tries === 10 || !isFederationError(error, "timeout")) throw error;
      return synced(engine, tries + 1);
    });
  await Promise.all(all.map(({ engine }) => synced(engine)));
  const counts = all.map(({ store }) => livingIn(store).length);
  expect(counts).toEqual(counts.map(() => 20 * each));
  const [first] = all;
  for (const { store } of all) expect(livingIn(store)).toEqual(livingIn(first!.store));
  expect(all.every(({ engine }) => engine.state.deadLetters === 0)).toBe(true);
}, 300_000);
