/** What calls of the adapter take beside their arguments, and the files that they read and write: the same on all three backends. */
import { join } from "node:path";
import sqlite from "node-sqlite3-wasm";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createHashingEmbedder } from "../embed/hashing-embedder.ts";
import { freshTenant } from "../testing/start-stack.node.ts";
import { backendNames, BackendFixture, codeOf, idsOf, memoryOf } from "./testing/backend-fixture.node.ts";

let fixture: BackendFixture;
beforeAll(async () => {
  fixture = await BackendFixture.start();
});
afterEach(() => fixture?.afterEach());
afterAll(() => fixture?.stack.close());

describe.each(backendNames)("%s", (backend) => {
  test("a call whose signal is aborted rejects with its reason, and has done nothing", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend, { embed: createHashingEmbedder({ dimensions: 64 }) });
    await adapter.storeMemory(memoryOf(tenant, { content: "water" }));
    const lines: string[] = [];
    for await (const line of adapter.exportMemories({ tenant })) lines.push(line);
    const reason = new Error("no longer wanted");
    const signal = AbortSignal.abort(reason);
    const exporting = async (): Promise<void> => {
      for await (const line of adapter.exportMemories({ tenant, signal })) lines.push(line);
    };
    const path = join(await fixture.folder(), "memories.jsonl");
    const calls: readonly (() => Promise<unknown>)[] = [
      () => adapter.storeMemory(memoryOf(tenant, { id: "new" }), { signal }),
      () => adapter.storeMemories([memoryOf(tenant, { id: "new" })], { signal }),
      () => adapter.getMemory("mem-001", tenant, { signal }),
      () => adapter.deleteMemory("mem-001", tenant, { signal }),
      () => adapter.deleteMemories({ tenant, agent: "ann" }, { signal }),
      () => adapter.search({ tenant, text: "water", mode: "words", signal }),
      () => adapter.search({ tenant, embedding: [1, 2], signal }),
      () => adapter.search({ tenant, text: "water", signal }),
      exporting,
      () => adapter.importMemories(lines, { tenant: freshTenant(), signal }),
      () => adapter.exportMemoriesToFile(path, { tenant, signal }),
    ];
    for (const call of calls) await expect(call(), String(call)).rejects.toBe(reason);
    expect(idsOf(await adapter.queryMemories(tenant))).toEqual(["mem-001"]);
  });

  test("memories go to a file and from it into another tenant, and again without effect", async () => {
    const [from, to] = [freshTenant(), freshTenant()];
    const adapter = await fixture.open(backend);
    const path = join(await fixture.folder(), "memories.jsonl");
    const ids = Array.from({ length: 25 }, (_, at) => `m${String(at).padStart(2, "0")}`);
    await adapter.storeMemories(ids.map((id, at) => memoryOf(from, { id, embedding: [1, at] })));
    expect(await adapter.exportMemoriesToFile(path, { tenant: from })).toMatchObject({ memories: 25 });
    const imported = { damagedCount: 0, isComplete: true };
    expect(await adapter.importMemoriesFromFile(path, { tenant: to, batchRows: 10 })).toMatchObject({
      ...imported,
      stored: 25,
    });
    expect(await adapter.importMemoriesFromFile(path, { tenant: to })).toMatchObject({
      ...imported,
      stored: 0,
      unchanged: 25,
    });
    expect(idsOf(await adapter.queryMemories(to)).toSorted()).toEqual(ids);
    expect(idsOf(await adapter.semanticSearch([1, 0], to, 1))).toEqual(["m00"]);
  });

  test("an agentdb file becomes memories of an agent, found by word and by meaning; the same file again adds nothing", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const path = join(await fixture.folder(), "agentdb.db");
    const database = new sqlite.Database(path);
    database.exec(
      `create table notes (id integer primary key, title text, text text not null, created_at integer);
       create table note_embeddings (note_id integer primary key, embedding blob not null, embedding_model text)`,
    );
    database.exec(
      "insert into notes values (1, 'Ports', 'use 5433', 1700000400), (2, 'Water', 'is wet', 1700000500)",
    );
    const vector = new Uint8Array(Float32Array.of(1, 0).buffer);
    database.run("insert into note_embeddings values (1, ?, 'mini')", [vector]);
    database.close();
    const first = await adapter.importAgentDb(path, { tenant, agentId: "ann" });
    expect(first).toMatchObject({ stored: 2, unchanged: 0 });
    const again = await adapter.importAgentDb(path, { tenant, agentId: "ann" });
    expect(again).toMatchObject({ stored: 0, unchanged: 2 });
    const all = await adapter.queryMemories(tenant);
    expect(all.map(({ agent_id, created_at }) => [agent_id, Date.parse(created_at)])).toEqual([
      ["ann", 1_700_000_500_000],
      ["ann", 1_700_000_400_000],
    ]);
    const meant = await adapter.search({ tenant, embedding: [1, 0.1], embeddingModel: "mini" });
    const said = await adapter.search({ tenant, text: "5433" });
    expect(idsOf(meant.matches)).toEqual(idsOf(said.matches));
    expect(meant.matches).toHaveLength(1);
  });

  test.skipIf(backend === "hybrid")("what only two places need is refused with what to set", async () => {
    const tenant = freshTenant();
    const adapter = await fixture.open(backend);
    const calls = [
      adapter.sync({ tenant }),
      adapter.deadLetters(tenant),
      adapter.retryDeadLetter(tenant, 1),
      adapter.dropDeadLetter(tenant, 1),
    ];
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => "unsupported"));
    expect(adapter.syncState).toBeUndefined();
  });
});
