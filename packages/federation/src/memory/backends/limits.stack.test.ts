/** What is at the edge of what can be stored, what is beyond it, and calls that meet each other: the same on all three backends. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createEmbedder } from "../embed/create-embedder.ts";
import type { AgentMemory, StoredMemory } from "../memory.ts";
import { freshTenant } from "../testing/start-stack.node.ts";
import { backendNames, BackendFixture, codeOf, idsOf, memoryOf } from "./testing/backend-fixture.node.ts";

let fixture: BackendFixture;
beforeAll(async () => {
  fixture = await BackendFixture.start();
});
afterEach(() => fixture?.afterEach());
afterAll(() => fixture?.stack.close());

/** Parsed, as JSON from elsewhere is: a literal would set the prototype. */
const odd = JSON.parse(
  `{"__proto__":{"x":1},"constructor":null,"toString":[],"":"empty","a.b":{"c/d":"[\\"=\\\\u0041"},"emoji 😀":true,` +
    `"numbers":[1e308,-1e-300,5e-324,9007199254740993,0.1,1e21,123456789012345680000],"nested":[[[]],{},[{"k":[null,false]}]]}`,
) as Record<string, unknown>;

const nested = (depth: number): unknown => {
  let value: unknown = "innermost";
  for (let at = 0; at < depth; at++) value = at % 2 === 0 ? { in: value } : [value];
  return value;
};

describe.each(backendNames)("%s", (backend) => {
  test("what is as large as it may be comes back whole, and is found", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const id = `${"é".repeat(127)}x`;
    const content = `needle ${"ü ".repeat(349_522)}`;
    const given = {
      id,
      session_id: "s".repeat(255),
      embedding_model: "m".repeat(255),
      content: content + "x".repeat(1024 * 1024 - Buffer.byteLength(content)),
      embedding: Array.from({ length: 4096 }, (_, at) => Math.sin(at + 1)),
      metadata: { text: "y".repeat(1024 * 1024 - 12) },
      source: { text: "z".repeat(1024 * 1024 - 12) },
    };
    expect(Buffer.byteLength(given.content)).toBe(1024 * 1024);
    await adapter.storeMemory(memoryOf(tenant, given));
    const found = await adapter.getMemory(id, tenant);
    const { embedding, embedding_model: embeddingModel, ...rest } = given;
    expect(found).toMatchObject({ ...rest, embedding_model: embeddingModel, tenant_id: tenant });
    expect(Float32Array.from(found?.embedding ?? [])).toEqual(Float32Array.from(embedding));
    const meant = await adapter.search({ tenant, embedding, embeddingModel });
    expect(idsOf(meant.matches)).toEqual([id]);
    expect(idsOf((await adapter.search({ tenant, text: "needle" })).matches)).toEqual([id]);
    expect(await adapter.deleteMemory(id, tenant)).toBe(true);
    const beyond: Partial<AgentMemory>[] = [
      { id: `${id}x` },
      { content: `${given.content}x` },
      { session_id: "s".repeat(256) },
    ];
    beyond.push({ metadata: { text: `${given.metadata.text}y` } });
    beyond.push({ source: Array.from({ length: 3_372 }, () => 1e308) });
    for (const each of beyond)
      expect(await codeOf(adapter.storeMemory(memoryOf(tenant, { ...given, ...each })))).toBe("too_large");
    if (backend === "hybrid") {
      await adapter.storeMemory(memoryOf(tenant, given));
      await adapter.sync({ tenant });
      expect(adapter.syncState).toMatchObject({ pending: 0, deadLetters: 0 });
    }
  });

  test("metadata is any JSON, comes back as it was and is filtered by any part of it", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const deep = { a: nested(498) };
    await adapter.storeMemories([
      memoryOf(tenant, { id: "odd", metadata: odd }),
      memoryOf(tenant, { id: "deep", metadata: deep }),
      memoryOf(tenant, { id: "plain", metadata: { x: 1 } }),
    ]);
    expect(JSON.parse(JSON.stringify((await adapter.getMemory("odd", tenant))?.metadata))).toEqual(odd);
    expect((await adapter.getMemory("deep", tenant))?.metadata).toEqual(deep);
    const having = async (metadata: Record<string, unknown>): Promise<string[]> =>
      idsOf((await adapter.search({ tenant, text: "finding", filter: { metadata } })).matches);
    for (const [key, value] of Object.entries(odd)) {
      const part = JSON.parse(`{${JSON.stringify(key)}:${JSON.stringify(value)}}`) as Record<string, unknown>;
      expect(await having(part), key).toEqual(["odd"]);
    }
    expect(await having(JSON.parse('{"__proto__":{"x":2}}') as Record<string, unknown>)).toEqual([]);
    expect(await having({ numbers: [5e-324, 1e308] })).toEqual(["odd"]);
    expect(await having({ nested: [[]] })).toEqual(["odd"]);
    expect(await having(deep)).toEqual(["deep"]);
    if (backend === "hybrid") {
      await adapter.sync({ tenant });
      expect(adapter.syncState).toMatchObject({ pending: 0, deadLetters: 0 });
    }
  });

  test("vectors of many dimensions live in one store, and each finds its own", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const dimensions = [1, 2, 3, 384, 1536, 2001, 4000, 4001, 4096];
    const vector = (length: number): number[] => Array.from({ length }, (_, at) => 1 + (at % 3));
    await adapter.storeMemories(
      dimensions.map((length) => memoryOf(tenant, { id: `${length}`, embedding: vector(length) })),
    );
    for (const length of dimensions)
      expect(idsOf(await adapter.semanticSearch(vector(length), tenant))).toEqual([`${length}`]);
    expect(await adapter.semanticSearch(vector(4095), tenant)).toEqual([]);
  });

  test("a vector without a direction is refused by every door", async () => {
    const tenant = freshTenant();
    let answer: number[] = [1, 2];
    const embed = createEmbedder({ embed: async (texts) => texts.map(() => answer), model: "m" });
    const adapter = await fixture.open(backend, { embed });
    const header = '{"format":"agent-federation-memories","version":1}\n';
    for (const embedding of [
      [0, 0],
      [Number.NaN, 1],
      [1, Number.POSITIVE_INFINITY],
      [1e39, 1],
      [1e-60, 0],
    ]) {
      const memory = memoryOf(tenant, { content: `text ${embedding.join(" ")}` });
      answer = embedding;
      const line = { ...memory, embedding, created_at: "2026-01-01T00:00:00Z" };
      const attempts = [
        adapter.storeMemory({ ...memory, embedding }),
        adapter.storeMemory({ ...memory, embedding: Float32Array.from(embedding) }),
        adapter.storeMemories([{ ...memory, embedding }]),
        adapter.search({ tenant, embedding }),
        adapter.semanticSearch(embedding, tenant),
        adapter.importMemories([header, `${JSON.stringify(line)}\n`], { tenant }),
      ];
      for (const attempt of attempts) expect(await codeOf(attempt)).toBe("invalid_argument");
      for (const attempt of [adapter.storeMemory(memory), adapter.search({ tenant, text: memory.content })])
        expect(await codeOf(attempt)).toBe("protocol");
    }
    expect(await adapter.queryMemories(tenant)).toEqual([]);
  });

  test("of writes that expect the same version at the same time one is stored", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const write = (content: string, ifVersion: number): Promise<StoredMemory> =>
      adapter.storeMemory(memoryOf(tenant, { content }), { ifVersion });
    for (const version of [0, 1, 2]) {
      const outcomes = await Promise.all(
        ["a", "b", "c", "d"].map((each) => codeOf(write(`${each} ${version}`, version))),
      );
      expect(outcomes.toSorted()).toEqual(["conflict", "conflict", "conflict", "resolved"]);
      expect((await adapter.getMemory("mem-001", tenant))?.version).toBe(version + 1);
    }
  });

  test("of identical memories that come at the same time one is stored", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const store = (id: string): Promise<StoredMemory> =>
      adapter.storeMemory(memoryOf(tenant, { id }), { skipIdentical: true });
    const stored = await Promise.all(["a", "b", "c", "d"].map(store));
    const [only] = await adapter.queryMemories(tenant);
    expect(new Set(idsOf(stored))).toEqual(new Set([only?.id]));
    expect(await adapter.queryMemories(tenant)).toHaveLength(1);
  });

  test("a call that is aborted while it runs rejects with the reason", async () => {
    const tenant = freshTenant();
    const asked: (() => void)[] = [];
    const embed = createEmbedder({
      embed: () => new Promise(() => asked.splice(0).forEach((told) => told())),
      model: "never answers",
    });
    const adapter = await fixture.open(backend, { embed });
    await adapter.storeMemory(memoryOf(tenant, { content: "water", embedding: [1, 2] }));
    const reason = new Error("no longer wanted");
    const ended = async (call: (signal: AbortSignal) => Promise<unknown>, when?: Promise<void>) => {
      const stop = new AbortController();
      const running = call(stop.signal);
      running.catch(() => undefined);
      await when;
      stop.abort(reason);
      await expect(running).rejects.toBe(reason);
    };
    const whenAsked = (): Promise<void> => new Promise((resolve) => void asked.push(resolve));
    await ended((signal) => adapter.search({ tenant, text: "water", mode: "words", signal }));
    await ended((signal) => adapter.search({ tenant, embedding: [1, 2], signal }));
    await ended((signal) => adapter.search({ tenant, text: "water", embedding: [1, 2], signal }));
    await ended((signal) => adapter.search({ tenant, text: "water", signal }), whenAsked());
    await ended((signal) => adapter.search({ tenant, text: "fire", mode: "meaning", signal }), whenAsked());
    await ended((signal) => adapter.storeMemory(memoryOf(tenant, { id: "x" }), { signal }), whenAsked());
    await ended((signal) => adapter.storeMemories([memoryOf(tenant, { id: "y" })], { signal }), whenAsked());
    expect(idsOf(await adapter.queryMemories(tenant))).toEqual(["mem-001"]);
  });
});
