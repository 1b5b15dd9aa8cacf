/** What every call of the adapter means, whatever the backend. Each test runs on all three. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { StoredMemory } from "../memory.ts";
import { createHashingEmbedder } from "../embed/hashing-embedder.ts";
import { TestClock } from "../../runtime/testing/test-clock.ts";
import { Arrivals, freshTenant } from "../testing/start-stack.node.ts";
import { backendNames, BackendFixture, codeOf, idsOf, memoryOf } from "./testing/backend-fixture.node.ts";

let fixture: BackendFixture;
beforeAll(async () => {
  fixture = await BackendFixture.start();
});
afterEach(() => fixture?.afterEach());
afterAll(() => fixture?.stack.close());

const past = new Date(Date.now() - 60_000).toISOString();
const future = new Date(Date.now() + 3_600_000).toISOString();

describe.each(backendNames)("%s", (backend) => {
  test("a memory is stored as it was given and found again by its id, its agent, its embedding and its words", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    await adapter.initialize();
    const content = 'Zeilen\n"Anführung" \\u0000 ist Text, 😀 auch, null, {"a":1}';
    const metadata = { topic: "safety", confidence: 0.95, deep: [{ "a.b": null }, "1", 1, true], empty: {} };
    const given = {
      content,
      metadata,
      embedding: [0.5, -0.25, 3],
      source: { file: "a.md" },
      session_id: "s 1",
    };
    const stored = await adapter.storeMemory(memoryOf(tenant, given));
    expect(stored).toEqual({
      ...memoryOf(tenant, given),
      embedding_model: null,
      scope: "tenant",
      written_by: "ann",
      content_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      supersedes: null,
      superseded_by: null,
      version: 1,
      created_at: expect.any(String),
      updated_at: expect.any(String),
      expires_at: null,
    });
    expect(Math.abs(Date.parse(stored.created_at) - Date.now())).toBeLessThan(60_000);
    expect(await adapter.getMemory("mem-001", tenant)).toEqual(stored);
    expect(await adapter.queryMemories(tenant)).toEqual([stored]);
    expect(await adapter.queryMemories(tenant, "ann")).toEqual([stored]);
    expect(await adapter.queryMemories(tenant, "bob")).toEqual([]);
    expect(await adapter.semanticSearch([0.5, -0.25, 3], tenant)).toEqual([
      { ...stored, similarity: expect.closeTo(1, 5) },
    ]);
    const { matches } = await adapter.search({ tenant, text: "anführung" });
    expect(matches).toEqual([{ ...stored, similarity: null, score: expect.any(Number) }]);
    expect(await adapter.getMemory("mem-002", tenant)).toBeUndefined();
    expect(await adapter.getMemory("mem-001", freshTenant())).toBeUndefined();
  });

  test("storing an id again replaces the memory as a whole; the same again changes nothing", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const full = memoryOf(tenant, {
      metadata: { a: { x: 1, y: [1, 2] } },
      embedding: [1, 2],
      session_id: "s",
    });
    const first = await adapter.storeMemory(full);
    const reordered = { ...full, metadata: { a: { y: [1, 2], x: 1 } } };
    expect(await adapter.storeMemory(reordered)).toEqual(first);
    const second = await adapter.storeMemory(memoryOf(tenant, { content: "Better", created_at: past }));
    expect(second).toMatchObject({
      version: 2,
      content: "Better",
      metadata: {},
      embedding: null,
      session_id: null,
    });
    expect(second.created_at).toBe(first.created_at);
    expect(await adapter.queryMemories(tenant)).toEqual([second]);
  });

  test("a write that expects another version is refused with both", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    await adapter.storeMemory(memoryOf(tenant), { ifVersion: 0 });
    const again = adapter.storeMemory(memoryOf(tenant, { content: "other" }), { ifVersion: 0 });
    await expect(again).rejects.toMatchObject({ code: "conflict", message: expect.stringMatching(/0.*1/s) });
    await adapter.storeMemory(memoryOf(tenant, { content: "second" }), { ifVersion: 1 });
    const stale = adapter.storeMemory(memoryOf(tenant, { content: "third" }), { ifVersion: 1 });
    await expect(stale).rejects.toMatchObject({ code: "conflict", message: expect.stringMatching(/1.*2/s) });
    expect((await adapter.getMemory("mem-001", tenant))?.content).toBe("second");
    await adapter.deleteMemory("mem-001", tenant);
    expect(await codeOf(adapter.storeMemory(memoryOf(tenant), { ifVersion: 2 }))).toBe("conflict");
    expect(await codeOf(adapter.storeMemory(memoryOf(tenant), { ifVersion: 0 }))).toBe("resolved");
    expect(await codeOf(adapter.storeMemory(memoryOf(tenant), { ifVersion: -1 }))).toBe("invalid_argument");
  });

  test("an identical memory is not stored twice where that is asked for", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const first = await adapter.storeMemory(memoryOf(tenant));
    const copy = memoryOf(tenant, { id: "copy" });
    expect(await adapter.storeMemory(copy, { skipIdentical: true })).toEqual(first);
    expect(await adapter.getMemory("copy", tenant)).toBeUndefined();
    const others = [{ scope: "agent" as const }, { agent_id: "bob" }, { content: "something else" }];
    for (const [index, other] of others.entries()) {
      const id = `other-${index}`;
      const stored = await adapter.storeMemory({ ...copy, id, ...other }, { skipIdentical: true });
      expect(stored.id).toBe(id);
    }
    await adapter.deleteMemory("mem-001", tenant);
    expect((await adapter.storeMemory(copy, { skipIdentical: true })).id).toBe("copy");
    const batch = ["x", "y"].map((id) => memoryOf(tenant, { id, content: "twice" }));
    expect(await adapter.storeMemories(batch, { skipIdentical: true })).toEqual({ stored: 1, skipped: 1 });
  });

  test("what has expired is never returned, and a clean-up removes it for good", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const some = { content: "water", embedding: [1, 1] };
    await adapter.storeMemory(memoryOf(tenant, { ...some, id: "gone", expires_at: past }));
    await adapter.storeMemory(memoryOf(tenant, { ...some, id: "stays", expires_at: future }));
    const soon = await adapter.storeMemory(memoryOf(tenant, { ...some, id: "soon" }), { ttlSeconds: 3600 });
    expect(Date.parse(soon.expires_at ?? "") - Date.parse(soon.created_at)).toBeCloseTo(3_600_000, -4);
    expect(await adapter.getMemory("gone", tenant)).toBeUndefined();
    expect(idsOf(await adapter.queryMemories(tenant)).toSorted()).toEqual(["soon", "stays"]);
    expect(idsOf(await adapter.semanticSearch([1, 1], tenant)).toSorted()).toEqual(["soon", "stays"]);
    const { matches } = await adapter.search({ tenant, text: "water" });
    expect(idsOf(matches).toSorted()).toEqual(["soon", "stays"]);
    expect((await adapter.getStats(tenant)).total_memories).toBe(2);
    if (backend === "hybrid") await adapter.sync({ tenant });
    expect(await adapter.cleanupExpiredMemories()).toBe(1);
    expect(await adapter.cleanupExpiredMemories()).toBe(0);
  });

  test("a superseded memory stays readable, marked, and searches skip it", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    await adapter.storeMemory(memoryOf(tenant, { id: "old", content: "water is dry", embedding: [1, 0] }));
    const newer = memoryOf(tenant, {
      id: "new",
      content: "water is wet",
      embedding: [1, 0.1],
      supersedes: "old",
    });
    expect(await adapter.storeMemory(newer)).toMatchObject({ supersedes: "old", superseded_by: null });
    expect(await adapter.getMemory("old", tenant)).toMatchObject({
      content: "water is dry",
      superseded_by: "new",
    });
    expect(idsOf(await adapter.queryMemories(tenant))).toEqual(["new"]);
    expect(idsOf(await adapter.semanticSearch([1, 0], tenant))).toEqual(["new"]);
    expect(idsOf((await adapter.search({ tenant, text: "water" })).matches)).toEqual(["new"]);
    expect((await adapter.getStats(tenant)).total_memories).toBe(1);
    // Another agent's memory is not marked by whoever likes to.
    await adapter.storeMemory(memoryOf(tenant, { id: "bobs", agent_id: "bob", supersedes: "new" }));
    expect((await adapter.getMemory("new", tenant))?.superseded_by).toBeNull();
    expect(await codeOf(adapter.storeMemory(memoryOf(tenant, { id: "x", supersedes: "x" })))).toBe(
      "invalid_argument",
    );
  });

  test("what an agent keeps to itself is returned to that agent alone, and another's id is nobody else's to take", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const own = { scope: "agent" as const, content: "secret water", embedding: [1, 0] };
    await adapter.storeMemory(memoryOf(tenant, { ...own, id: "anns" }));
    for (let at = 0; at < 12; at++) {
      await adapter.storeMemory(memoryOf(tenant, { ...own, id: `bobs-${at}`, agent_id: "bob" }));
    }
    await adapter.storeMemory(memoryOf(tenant, { id: "all", content: "water", embedding: [0, 1] }));
    expect(idsOf(await adapter.queryMemories(tenant)).toSorted()).toEqual(["all", "anns"]);
    expect(await adapter.queryMemories(tenant, "bob")).toHaveLength(12);
    expect(idsOf(await adapter.semanticSearch([1, 0], tenant, 2))).toEqual(["anns", "all"]);
    expect(idsOf((await adapter.search({ tenant, text: "water", limit: 2 })).matches).toSorted()).toEqual([
      "all",
      "anns",
    ]);
    expect(idsOf((await adapter.search({ tenant, text: "secret", agent: "bob" })).matches)).toHaveLength(10);
    expect(await adapter.getMemory("bobs-1", tenant)).toBeUndefined();
    expect((await adapter.getMemory("bobs-1", tenant, { agent: "bob" }))?.id).toBe("bobs-1");
    expect((await adapter.getStats(tenant)).total_memories).toBe(2);
    expect(await adapter.deleteMemory("bobs-1", tenant)).toBe(false);
    expect(await codeOf(adapter.storeMemory(memoryOf(tenant, { id: "bobs-1" })))).toBe("forbidden");
    expect(await codeOf(adapter.deleteMemory("all", tenant, { agent: "bob" }))).toBe("forbidden");
    expect(await codeOf(adapter.storeMemory(memoryOf(tenant, { id: "all", agent_id: "bob" })))).toBe(
      "forbidden",
    );
    expect(await adapter.deleteMemory("bobs-1", tenant, { agent: "bob" })).toBe(true);
  });

  test("a memory of scope session is returned to its agent and to the agent whose session it names", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    await adapter.registerSession("of-bob", tenant, "bob");
    const note = { scope: "session" as const, content: "water", embedding: [1, 0] };
    await adapter.storeMemory(memoryOf(tenant, { ...note, id: "to-bob", session_id: "of-bob" }));
    for (let at = 0; at < 3; at++)
      await adapter.storeMemory(memoryOf(tenant, { ...note, id: `own-${at}`, session_id: "nobody's" }));
    if (backend === "hybrid") await adapter.sync({ tenant }); // there the database decides when it gets them
    await adapter.registerSession("nobody's", tenant, "carol"); // too late
    await adapter.storeMemory(memoryOf(tenant, { id: "all", content: "water", embedding: [1, 1] }));
    const seenBy = async (agent: string): Promise<string[]> => {
      const meant = await adapter.search({ tenant, embedding: [1, 0], agent });
      const said = await adapter.search({ tenant, text: "water", agent });
      const got = await Promise.all(
        ["all", "own-0", "own-1", "own-2", "to-bob"].map((id) => adapter.getMemory(id, tenant, { agent })),
      );
      const [ids, ...others] = [meant.matches, said.matches, got.flatMap((one) => one ?? [])].map((found) =>
        idsOf(found).toSorted(),
      );
      expect(others).toEqual([ids, ids]);
      return ids ?? [];
    };
    expect(await seenBy("ann")).toEqual(["all", "own-0", "own-1", "own-2", "to-bob"]);
    expect(await seenBy("bob")).toEqual(["all", "to-bob"]);
    expect(await seenBy("carol")).toEqual(["all"]);
    const lines = async (agent: string): Promise<number> => {
      let count = 0;
      for await (const line of adapter.exportMemories({ tenant, agent }))
        count += line.includes("water") ? 1 : 0;
      return count;
    };
    expect([await lines("ann"), await lines("bob"), await lines("carol")]).toEqual([5, 2, 1]);
    expect(await codeOf(adapter.deleteMemory("to-bob", tenant, { agent: "bob" }))).toBe("forbidden");
    expect(await adapter.deleteMemory("to-bob", tenant, { agent: "carol" })).toBe(false);
  });

  test("a filter is exact: the best of what it admits, however few", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const at = (day: number): string => `2026-01-${String(day).padStart(2, "0")}T00:00:00Z`;
    const rows = Array.from({ length: 60 }, (_, index) =>
      memoryOf(tenant, {
        id: `m${String(index).padStart(2, "0")}`,
        agent_id: index % 20 === 7 ? "bob" : "ann",
        session_id: index % 30 === 11 ? "rare" : "usual",
        content: index % 2 === 0 ? "even water" : "odd water",
        embedding: [Math.cos(index / 50), Math.sin(index / 50)],
        metadata: { tags: index % 25 === 3 ? ["x", "y"] : ["y"], deep: { n: index % 10 } },
        created_at: at(1 + (index % 28)),
      }),
    );
    await adapter.storeMemories(rows);
    const find = async (filter: object): Promise<string[]> => {
      const meant = await adapter.search({ tenant, embedding: [1, 0], filter, limit: 3 });
      const said = await adapter.search({ tenant, text: "water", filter, limit: 60 });
      const ids = idsOf(meant.matches);
      expect(idsOf(said.matches)).toEqual(expect.arrayContaining(ids));
      return ids;
    };
    expect(await find({ agent: "bob" })).toEqual(["m07", "m27", "m47"]);
    expect(await find({ session: "rare" })).toEqual(["m11", "m41"]);
    expect(await find({ metadata: { tags: ["x"] } })).toEqual(["m03", "m28", "m53"]);
    expect(await find({ metadata: { tags: ["y", "x"], deep: { n: 8 } } })).toEqual(["m28"]);
    expect(await find({ since: at(27) })).toEqual(["m26", "m27", "m54"]);
    expect(await find({ since: at(3), until: at(4) })).toEqual(["m02", "m30", "m58"]);
    expect(await find({ agent: "nobody" })).toEqual([]);
    expect(await find({ agent: "bob", metadata: { deep: { n: 7 } }, session: "usual" })).toEqual([
      "m07",
      "m27",
      "m47",
    ]);
    expect(await codeOf(adapter.search({ tenant, text: "x", filter: { colour: "red" } as object }))).toBe(
      "invalid_argument",
    );
  });

  test("searches by meaning, by words and by both say what they compared, and models are kept apart", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const store = (
      id: string,
      content: string,
      embedding: number[],
      embedding_model?: string,
    ): Promise<unknown> => adapter.storeMemory(memoryOf(tenant, { id, content, embedding, embedding_model }));
    await store("both", "green water", [1, 0.2]);
    await store("meaning", "something else", [1, 0]);
    await store("words", "green green water", [-1, 0]);
    await store("neither", "nothing", [0, 1]);
    await store("model", "other", [1, 0], "m");
    await store("longer", "other", [1, 0, 0]);
    const meant = await adapter.search({ tenant, embedding: [1, 0], minSimilarity: 0.5 });
    expect(meant.coverage === "all" || backend === "hybrid").toBe(true);
    expect(idsOf(meant.matches)).toEqual(["meaning", "both"]);
    expect(meant.matches.map(({ similarity, score }) => similarity === score)).toEqual([true, true]);
    const said = await adapter.search({ tenant, text: "green wat" });
    expect(idsOf(said.matches).toSorted()).toEqual(["both", "words"]);
    expect(said.matches.map((match) => match.similarity)).toEqual([null, null]);
    const joined = await adapter.search({
      tenant,
      text: "green water",
      embedding: [1, 0],
      minSimilarity: 0.5,
    });
    expect(idsOf(joined.matches)[0]).toBe("both");
    expect(idsOf(joined.matches).toSorted()).toEqual(["both", "meaning", "words"]);
    const [best] = joined.matches;
    expect(best?.similarity).toBeCloseTo(1 / Math.hypot(1, 0.2), 4);
    expect(1 / 62 + 1 / 61 - (best?.score ?? 0)).toBeLessThan(1 / 61 - 1 / 62 + 1e-9);
    expect(joined.matches.find(({ id }) => id === "words")?.similarity).toBeNull();
    const ofModel = await adapter.search({ tenant, embedding: [1, 0], embeddingModel: "m" });
    expect(idsOf(ofModel.matches)).toEqual(["model"]);
    expect(idsOf(await adapter.semanticSearch([1, 0, 0], tenant))).toEqual(["longer"]);
    for (const wrong of [
      {},
      { mode: "both", text: "x" },
      { mode: "words", embedding: [1] },
      { text: "x", limit: 0 },
    ]) {
      expect(await codeOf(adapter.search({ tenant, ...wrong } as { tenant: string }))).toBe(
        "invalid_argument",
      );
    }
  });

  test("a subscriber may shut the adapter down", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const down = new Promise<void>((resolve) => {
      adapter.subscribeToMemories(tenant, async () => {
        await adapter.shutdown();
        resolve();
      });
    });
    await adapter.storeMemory(memoryOf(tenant));
    await down;
  });

  test("a batch may bring a memory together with the one that replaces it", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const [older, newer] = [memoryOf(tenant, { id: "v1" }), memoryOf(tenant, { id: "v2", supersedes: "v1" })];
    await adapter.storeMemories([older, newer]);
    expect(idsOf(await adapter.queryMemories(tenant))).toEqual(["v2"]);
    expect(await adapter.getMemory("v1", tenant)).toMatchObject({ superseded_by: "v2" });
  });

  test("with an embedder, text is enough", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend, { embed: createHashingEmbedder({ dimensions: 64 }) });
    await adapter.storeMemories(
      ["safety of agents", "cooking with water", "weather report"].map((content, index) =>
        memoryOf(tenant, { id: `m${index}`, content }),
      ),
    );
    expect(await adapter.getMemory("m0", tenant)).toMatchObject({ embedding_model: "hashing" });
    const { matches } = await adapter.search({ tenant, text: "the weather" });
    expect(matches[0]).toMatchObject({ id: "m2", similarity: expect.any(Number) });
    const meant = await adapter.search({ tenant, text: "agents", mode: "meaning", limit: 1 });
    expect(idsOf(meant.matches)).toEqual(["m0"]);
    const own = await adapter.storeMemory(memoryOf(tenant, { id: "own", embedding: [1, 2] }));
    expect(own).toMatchObject({ embedding: [1, 2], embedding_model: "hashing" });
    expect(idsOf(await adapter.semanticSearch([1, 2], tenant))).toEqual(["own"]);
  });

  test("memories are deleted one at a time and by a filter, each only by its own agent", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const store = (id: string, agent_id: string, topic: string): Promise<unknown> =>
      adapter.storeMemory(memoryOf(tenant, { id, agent_id, metadata: { topic }, embedding: [1] }));
    await Promise.all([
      store("a1", "ann", "db"),
      store("a2", "ann", "web"),
      store("b1", "bob", "db"),
      store("b2", "bob", "db"),
    ]);
    expect(await adapter.deleteMemory("a1", tenant)).toBe(true);
    expect(await adapter.deleteMemory("a1", tenant)).toBe(false);
    expect(await adapter.getMemory("a1", tenant)).toBeUndefined();
    expect(await adapter.deleteMemories({ tenant, agent: "bob", metadata: { topic: "db" } })).toBe(2);
    expect(await adapter.deleteMemories({ tenant, metadata: { topic: "db" } })).toBe(0);
    expect(idsOf(await adapter.queryMemories(tenant))).toEqual(["a2"]);
    expect(idsOf(await adapter.semanticSearch([1], tenant))).toEqual(["a2"]);
    expect(await codeOf(adapter.deleteMemories({ tenant }))).toBe("invalid_argument");
    const back = await adapter.storeMemory(memoryOf(tenant, { id: "a1", content: "again" }));
    expect(back.version).toBeGreaterThan(1);
    expect(idsOf(await adapter.queryMemories(tenant))).toEqual(["a1", "a2"]);
  });

  test("many are stored in batches with word of how far, and queried newest first", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    async function* rows() {
      for (let index = 0; index < 1200; index++) {
        yield memoryOf(tenant, {
          id: `mem-${index}`,
          agent_id: index % 3 === 0 ? "ann" : "bob",
          content: `number ${index}`,
          created_at: new Date(1_700_000_000_000 + Math.floor(index / 100) * 1000).toISOString(),
          embedding: [1, index],
        });
      }
    }
    const told: number[] = [];
    const done = await adapter.storeMemories(rows(), { onProgress: ({ stored }) => told.push(stored) });
    expect(done).toEqual({ stored: 1200, skipped: 0 });
    expect(told.at(-1)).toBe(1200);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    const all = await adapter.queryMemories(tenant, undefined, 10_000);
    expect(new Set(idsOf(all)).size).toBe(1200);
    const times = all.map((each) => Date.parse(each.created_at));
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    expect(idsOf(await adapter.queryMemories(tenant))).toEqual(idsOf(all.slice(0, 100)));
    expect(idsOf(await adapter.queryMemories(tenant, "ann", 10_000))).toEqual(
      idsOf(all.filter((each) => each.agent_id === "ann")),
    );
    expect(await adapter.semanticSearch([1, 0], tenant, 1100)).toHaveLength(1100);
    expect((await adapter.getStats(tenant)).total_memories).toBe(1200);
    const bad = adapter.storeMemories([memoryOf(tenant, { id: "fine" }), memoryOf(tenant, { id: "" })]);
    expect(await codeOf(bad)).toBe("invalid_argument");
  });

  test("a subscription tells of what is stored and changed from now on, once each, with its content", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    await adapter.storeMemory(memoryOf(tenant, { id: "before" }));
    if (backend === "hybrid") await adapter.sync({ tenant });
    const arrivals = new Arrivals<string>();
    const unsubscribe = adapter.subscribeToMemories(tenant, ({ id, content, version }, change) =>
      arrivals.take(`${change} ${id} ${version} ${content}`),
    );
    await adapter.storeMemory(memoryOf(tenant, { id: "new", content: "x".repeat(300_000) }));
    expect((await arrivals.next()).slice(0, 13)).toBe("added new 1 x");
    await adapter.storeMemory(memoryOf(tenant, { id: "private", scope: "agent" }));
    await adapter.storeMemory(memoryOf(tenant, { id: "before" })); // nothing changes
    await adapter.storeMemory(memoryOf(tenant, { id: "before", content: "changed" }));
    expect(await arrivals.next()).toBe("updated before 2 changed");
    await adapter.storeMemory(memoryOf(tenant, { id: "newest", supersedes: "new", content: "short" }));
    expect(await arrivals.next()).toBe("added newest 1 short");
    unsubscribe();
    expect(arrivals.pending).toEqual([]);
  });

  test("an export carries everything, an import of it adds nothing twice and stays resumable", async () => {
    const [from, to] = [freshTenant(), freshTenant()];
    const adapter = await fixture.open(backend);
    const rows = Array.from({ length: 7 }, (_, at) =>
      memoryOf(from, { id: `m${at}`, content: `line\n${at}`, embedding: [0.1, at], metadata: { at } }),
    );
    await adapter.storeMemories(rows);
    await adapter.storeMemory(memoryOf(from, { id: "m7", supersedes: "m0" }));
    await adapter.storeMemory(memoryOf(from, { id: "bobs", agent_id: "bob", scope: "agent" }));
    await adapter.storeMemory(memoryOf(from, { id: "gone", expires_at: past }));
    await adapter.deleteMemory("m1", from);
    const read = async (options = {}): Promise<string[]> => {
      const lines: string[] = [];
      for await (const line of adapter.exportMemories({ tenant: from, ...options })) lines.push(line);
      return lines;
    };
    const lines = await read();
    expect(lines).toHaveLength(2 + 7);
    expect(await read({ afterId: "m4" })).toEqual(lines.slice(-4));
    const imported = await adapter.importMemories(lines, { tenant: to, batchRows: 3 });
    expect(imported).toMatchObject({ stored: 7, unchanged: 0, damagedCount: 0, isComplete: true });
    const again = await adapter.importMemories(lines, { tenant: to });
    expect(again).toMatchObject({ stored: 0, unchanged: 7, isComplete: true });
    const plain = (all: readonly StoredMemory[]): unknown =>
      all.map(({ id, content, metadata, embedding }) => ({ id, content, metadata, embedding }));
    const byId = (a: StoredMemory, b: StoredMemory): number => (a.id < b.id ? -1 : 1);
    const [there, here] = [await adapter.queryMemories(to), await adapter.queryMemories(from)];
    expect(idsOf(there.toSorted(byId))).toEqual(["m2", "m3", "m4", "m5", "m6", "m7"]);
    expect(plain(there.toSorted(byId))).toEqual(plain(here.toSorted(byId)));
    await adapter.storeMemory(memoryOf(to, { id: "m2", content: "changed since" }));
    expect(await adapter.importMemories(lines, { tenant: to })).toMatchObject({ stored: 0 });
    expect((await adapter.getMemory("m2", to))?.content).toBe("changed since");
  });

  test("an export has the order of the ids' bytes, so that it goes on wherever it is read", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const ids = ["B", "Z-2", "Z1", "a", "é", "\u{fffd}", "\u{1f600}"];
    await adapter.storeMemories(ids.toReversed().map((id) => memoryOf(tenant, { id })));
    const exported = async (afterId?: string): Promise<unknown[]> => {
      const lines: { id?: string }[] = [];
      for await (const line of adapter.exportMemories({ tenant, afterId }))
        lines.push(JSON.parse(line) as { id?: string });
      return lines.flatMap(({ id }) => id ?? []);
    };
    expect(await exported()).toEqual(ids);
    for (const [at, id] of ids.entries()) expect(await exported(id)).toEqual(ids.slice(at + 1));
  });

  test("sessions are registered, busy, listed, counted and ended", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const id = `session-${tenant}`;
    expect(await adapter.registerSession(id, tenant, "ann", { model: "small" })).toMatchObject({
      session_id: id,
      agent_id: "ann",
      tenant_id: tenant,
      status: "online",
      metadata: { model: "small" },
      ended_at: null,
    });
    expect(await adapter.updateSessionStatus(id, "busy")).toMatchObject({ status: "busy" });
    expect((await adapter.getActiveSessions(tenant)).map((each) => each.status)).toEqual(["busy"]);
    expect(await adapter.getStats(tenant)).toMatchObject({
      total_memories: 0,
      active_sessions: 1,
      backend: backend === "agentdb" ? "local" : "supabase",
      vector_backend: backend,
      tenant_id: tenant,
    });
    expect(await adapter.updateSessionStatus(id, "completed")).toMatchObject({ end_reason: "completed" });
    expect(await adapter.getActiveSessions(tenant)).toEqual([]);
    expect(await codeOf(adapter.updateSessionStatus("unknown", "busy"))).toBe("not_found");
  });

  test("what cannot be stored is refused before anything happens, and after shutdown nothing answers", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const codes = await Promise.all(
      [
        { id: "x".repeat(256) },
        { content: "x".repeat(1024 * 1024 + 1) },
        { embedding: [Number.NaN] },
        { embedding: [0, 0] },
        { embedding: [] },
        { content: "a\u0000b" },
        { tenant_id: "not a tenant" },
      ].map((wrong) => codeOf(adapter.storeMemory(memoryOf(tenant, wrong)))),
    );
    expect(codes).toEqual(["too_large", "too_large", ...Array.from({ length: 5 }, () => "invalid_argument")]);
    const abort = AbortSignal.abort(new Error("no longer"));
    await expect(adapter.storeMemory(memoryOf(tenant), { signal: abort })).rejects.toThrow("no longer");
    expect(adapter.shutdown()).toBe(adapter.shutdown());
    await adapter.shutdown();
    expect(await codeOf(adapter.queryMemories(tenant))).toBe("closed");
    expect(await codeOf(adapter.storeMemory(memoryOf(tenant)))).toBe("closed");
    expect(() => adapter.subscribeToMemories(tenant, () => undefined)).toThrow(/shut down/);
  });
});

/** The database's clock cannot be moved; the two that read here go by the clock that they were given. */
test.each(["agentdb", "hybrid"] as const)(
  "%s: a memory is there until its time has come, and not after",
  async (backend) => {
    const tenant = freshTenant();
    const clock = new TestClock(Date.now());
    // Tokens that are made by this clock would be none to the server.
    const { serviceRoleKey } = fixture.stack;
    const adapter = await fixture.open(backend, {
      clock,
      memorySync: false,
      jwtSecret: undefined,
      serviceRoleKey,
    });
    const told = { content: "water", embedding: [1, 2] };
    await adapter.storeMemory(memoryOf(tenant, { ...told, id: "ttl" }), { ttlSeconds: 60 });
    await adapter.storeMemory(
      memoryOf(tenant, { ...told, id: "time", expires_at: new Date(clock.now() + 120_000).toISOString() }),
    );
    await adapter.storeMemory(memoryOf(tenant, { ...told, id: "stays" }));
    const found = async (): Promise<string[][]> => [
      idsOf(await adapter.queryMemories(tenant)).toSorted(),
      idsOf(await adapter.semanticSearch([1, 2], tenant)).toSorted(),
      idsOf((await adapter.search({ tenant, text: "water" })).matches).toSorted(),
    ];
    await clock.advance(59_999);
    expect(await found()).toEqual(Array.from({ length: 3 }, () => ["stays", "time", "ttl"]));
    await clock.advance(1);
    expect(await found()).toEqual(Array.from({ length: 3 }, () => ["stays", "time"]));
    expect(await adapter.getMemory("ttl", tenant)).toBeUndefined();
    await clock.advance(60_000);
    expect(await found()).toEqual(Array.from({ length: 3 }, () => ["stays"]));
    expect((await adapter.getStats(tenant)).total_memories).toBe(1);
    // What waits for the server stays until the server has it.
    expect(await adapter.cleanupExpiredMemories()).toBe(backend === "agentdb" ? 2 : 0);
  },
);
