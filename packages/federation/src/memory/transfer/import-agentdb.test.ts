import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite from "node-sqlite3-wasm";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { TransferMemory } from "./transfer-memory.ts";
import { importAgentDb } from "./import-agentdb.node.ts";
import { MapSink } from "./testing/map-sink.ts";
import { hash } from "./testing/memories.node.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "agentdb-test-"));
  path = join(folder, "agentdb.db");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

type Database = InstanceType<typeof sqlite.Database>;

// The columns of agentdb 1.6.1's tables, without its indexes and defaults.
const tables = `
  create table episodes (id integer primary key autoincrement, ts integer, session_id text not null, task text not null, input text, output text,
    critique text, reward real, success boolean, latency_ms integer, tokens_used integer, tags text, metadata json, created_at integer);
  create table episode_embeddings (episode_id integer primary key, embedding blob not null, embedding_model text default 'all-MiniLM-L6-v2');
  create table skills (id integer primary key autoincrement, name text unique not null, description text, signature json not null, code text,
    success_rate real, uses integer, avg_reward real, avg_latency_ms integer, created_from_episode integer, created_at integer, updated_at integer,
    last_used_at integer, metadata json);
  create table skill_embeddings (skill_id integer primary key, embedding blob not null, embedding_model text default 'all-MiniLM-L6-v2');
  create table facts (id integer primary key autoincrement, subject text not null, predicate text not null, object text not null, source_type text,
    source_id integer, confidence real, created_at integer, expires_at integer, metadata json);
  create table notes (id integer primary key autoincrement, title text, text text not null, summary text, note_type text, importance real,
    access_count integer, last_accessed_at integer, created_at integer, updated_at integer, metadata json);
  create table note_embeddings (note_id integer primary key, embedding blob not null, embedding_model text default 'all-MiniLM-L6-v2');
  create table events (id integer primary key autoincrement, session_id text not null, episode_id integer, step integer not null, phase text, role text,
    content text not null, features json, tool_calls json, created_at integer);
  create table consolidated_memories (id integer primary key autoincrement, session_id text not null, start_event_id integer, end_event_id integer,
    phase text, summary text not null, key_insights json, quality_score real, created_at integer);
  create table reasoning_patterns (id integer primary key autoincrement, ts integer, task_type text not null, approach text not null, success_rate real,
    uses integer, avg_reward real, tags text, metadata text);
  create table pattern_embeddings (pattern_id integer primary key, embedding blob not null);
  create table causal_edges (id integer primary key autoincrement, from_memory_id integer, to_memory_id integer, uplift real);`;

function build(run: (database: Database) => void, file = path): void {
  const database = new sqlite.Database(file);
  try {
    run(database);
  } finally {
    database.close();
  }
}

const floats = (...numbers: number[]): Uint8Array => new Uint8Array(Float32Array.from(numbers).buffer);

function addEpisode(database: Database, id: number, task: string): void {
  database.run(
    "insert into episodes (id, ts, session_id, task, created_at) values (?, 1700000000, 's', ?, 1700000000)",
    [id, task],
  );
}

function fill(database: Database): void {
  database.exec(tables);
  database.run(
    `insert into episodes values (1, 1700000000, 'session 1', 'fix the build', 'a log', 'pinned a version', 'look at the lock first',
      0.9, 1, 1200, 340, '["ci","npm"]', '{"repo":"web"}', 1700000001)`,
  );
  database.run("insert into episode_embeddings values (1, ?, 'all-MiniLM-L6-v2')", [
    floats(0.25, -0.5, 1 / 3),
  ]);
  addEpisode(database, 2, "no vector");
  database.run(
    `insert into skills (id, name, description, signature, success_rate, uses, created_at, updated_at) values
      (7, 'retry', 'tries again', '{"inputs":{}}', 0.75, 12, 1700000100, 1700000200)`,
  );
  database.run("insert into skill_embeddings (skill_id, embedding) values (7, ?)", [floats(1, 0)]);
  database.run(
    "insert into facts values (1, 'the cache', 'is on', 'disk 2', 'external', null, 0.5, 1700000300, 1900000000, null)",
  );
  database.run(
    "insert into notes (id, title, text, note_type, importance, created_at) values (1, 'Ports', 'use 5433', 'insight', 0.8, 1700000400)",
  );
  database.run(
    "insert into events (id, session_id, step, role, content, created_at) values (1, 's', 1, 'user', 'hello', 1700000500)",
  );
  database.run(
    "insert into consolidated_memories (id, session_id, phase, summary, created_at) values (1, 's', 'learning', 'all went well', 1700000600)",
  );
  database.run(
    "insert into reasoning_patterns (id, ts, task_type, approach, success_rate, uses) values (1, 1700000700, 'review', 'read tests first', 1, 3)",
  );
  database.run("insert into pattern_embeddings values (1, ?)", [floats(0, 2)]);
  database.exec("insert into causal_edges values (1, 1, 2, 0.5), (2, 2, 1, 0.1)");
}

const agentId = "importer";

function find(sink: MapSink, kind: string): TransferMemory | undefined {
  return [...sink.memories.values()].find(({ metadata }) => metadata["kind"] === kind);
}

test("episodes, skills, patterns, notes, facts, summaries and events become memories", async () => {
  build(fill);
  const sink = new MapSink();
  const result = await importAgentDb(path, sink, { agentId });
  expect(result).toEqual({
    stored: 8,
    unchanged: 0,
    tables: {
      episodes: 2,
      skills: 1,
      reasoning_patterns: 1,
      notes: 1,
      facts: 1,
      consolidated_memories: 1,
      events: 1,
    },
    problems: [],
    problemCount: 0,
    leftOut: { causal_edges: 2 },
  });
  const content = "fix the build\nlook at the lock first\npinned a version";
  expect(find(sink, "episode")).toMatchObject({
    id: expect.stringMatching(/^agentdb-episode-[0-9a-f]{32}$/) as string,
    agent_id: agentId,
    session_id: "session 1",
    content,
    content_hash: hash(content),
    embedding: Float32Array.of(0.25, -0.5, 1 / 3),
    embedding_model: "all-MiniLM-L6-v2",
    metadata: { kind: "episode", reward: 0.9, success: true, tags: ["ci", "npm"], repo: "web" },
    source: {
      agentdb: "episodes",
      id: 1,
      ts: 1_700_000_000,
      session_id: "session 1",
      input: "a log",
      reward: 0.9,
      success: 1,
      latency_ms: 1200,
      tokens_used: 340,
      tags: '["ci","npm"]',
      metadata: '{"repo":"web"}',
      created_at: 1_700_000_001,
    },
    created_at: "2023-11-14T22:13:21.000Z",
  });
  expect(find(sink, "skill")).toMatchObject({
    content: 'retry\ntries again\n{"inputs":{}}',
    embedding: Float32Array.of(1, 0),
    metadata: { success_rate: 0.75, uses: 12 },
    updated_at: "2023-11-14T22:16:40.000Z",
  });
  expect(find(sink, "pattern")).toMatchObject({
    content: "review: read tests first",
    embedding: Float32Array.of(0, 2),
    embedding_model: "all-MiniLM-L6-v2",
  });
  expect(find(sink, "note")).toMatchObject({
    content: "Ports\nuse 5433",
    embedding: null,
    embedding_model: null,
  });
  expect(find(sink, "fact")).toMatchObject({
    content: "the cache is on disk 2",
    expires_at: "2030-03-17T17:46:40.000Z",
    metadata: { confidence: 0.5 },
  });
  expect(find(sink, "summary")).toMatchObject({ content: "all went well", session_id: "s" });
  expect(find(sink, "event")).toMatchObject({ content: "hello", metadata: { role: "user" } });
});

test("importing twice, also from a copy of the file, imports nothing twice; what is new comes", async () => {
  build(fill);
  const sink = new MapSink();
  await importAgentDb(path, sink, { agentId });
  const copy = join(folder, "elsewhere.db");
  await copyFile(path, copy);
  expect(await importAgentDb(path, sink, { agentId })).toMatchObject({ stored: 0, unchanged: 8 });
  build((database) => addEpisode(database, 3, "new"), copy);
  expect(await importAgentDb(copy, sink, { agentId })).toMatchObject({ stored: 1, unchanged: 8 });
  expect(sink.memories.size).toBe(9);
});

test("rows of two files that have the same number are two memories", async () => {
  const other = join(folder, "other.db");
  build((database) => (database.exec(tables), addEpisode(database, 1, "one")));
  build((database) => (database.exec(tables), addEpisode(database, 1, "two")), other);
  const sink = new MapSink();
  await importAgentDb(path, sink, { agentId });
  await importAgentDb(other, sink, { agentId });
  expect([...sink.memories.values()].map(({ content }) => content).sort()).toEqual(["one", "two"]);
});

test("what a killed program left in the log beside the file is read, and neither file is touched", async () => {
  const database = new sqlite.Database(path);
  database.get("pragma locking_mode = exclusive");
  database.get("pragma journal_mode = wal");
  database.exec(tables);
  addEpisode(database, 1, "in the log");
  const killed = join(folder, "killed.db");
  for (const suffix of ["", "-wal"]) await copyFile(path + suffix, killed + suffix);
  database.close();

  const before = await Promise.all(["", "-wal"].map((suffix) => readFile(killed + suffix)));
  expect(before[1]?.length).toBeGreaterThan(0);
  const files = await readdir(folder);
  const sink = new MapSink();
  expect(await importAgentDb(killed, sink, { agentId })).toMatchObject({ stored: 1 });
  const after = await Promise.all(["", "-wal"].map((suffix) => readFile(killed + suffix)));
  expect(after.every((bytes, index) => before[index]?.equals(bytes))).toBe(true);
  expect(await readdir(folder)).toEqual(files);
});

test("many rows are read a few at a time, and an import that is aborted goes on when it is made again", async () => {
  build((database) => {
    database.exec(tables);
    database.exec("begin");
    for (let id = 1; id <= 450; id++) addEpisode(database, id * 3, `task ${id}`);
    database.exec("commit");
  });
  const sink = new MapSink();
  const controller = new AbortController();
  const reason = new Error("stop");
  const onProgress = (): void => controller.abort(reason);
  await expect(importAgentDb(path, sink, { agentId, onProgress, signal: controller.signal })).rejects.toBe(
    reason,
  );
  expect(sink.batches).toEqual([200]);
  expect(await importAgentDb(path, sink, { agentId })).toMatchObject({ stored: 250, unchanged: 200 });
  expect(sink.memories.size).toBe(450);
});

test("rows that cannot be memories, and vectors that are none, are told of", async () => {
  build((database) => {
    database.exec(tables);
    addEpisode(database, 1, "");
    addEpisode(database, 2, "x".repeat(1024 * 1024 + 1));
    addEpisode(database, 3, "broken vector");
    addEpisode(database, 4, "zero vector");
    addEpisode(database, 5, "empty vector");
    addEpisode(database, 6, "odd metadata");
    addEpisode(database, 7, "large input");
    database.run("update episodes set input = ? where id = 7", ["x".repeat(1024 * 1024)]);
    addEpisode(database, 8, "metadata that no database holds");
    database.run("update episodes set metadata = ? where id = 8", ['{"a":"\\u0000","b":1}']);
    database.exec(
      `update episodes set metadata = '{broken', tags = 'a,b', created_at = null, ts = null where id = 6`,
    );
    for (const [id, vector] of [
      [3, new Uint8Array(7)],
      [4, floats(0, 0)],
      [5, new Uint8Array()],
    ] as const)
      database.run("insert into episode_embeddings (episode_id, embedding) values (?, ?)", [id, vector]);
  });
  const sink = new MapSink();
  const result = await importAgentDb(path, sink, { agentId });
  expect(result).toMatchObject({ stored: 6, problemCount: 6, tables: { episodes: 6 } });
  expect(result.problems.map(({ id, isImported }) => [id, isImported])).toEqual([
    ["1", false],
    ["2", false],
    ["3", true],
    ["4", true],
    ["7", true],
    ["8", true],
  ]);
  expect(result.problems[5]?.reason).toMatch(/^metadata: expected text without U\+0000.*: left out$/);
  const bare = [...sink.memories.values()].find(
    ({ content }) => content === "metadata that no database holds",
  );
  expect(bare?.metadata).toEqual({ kind: "episode" });
  expect(result.problems[2]?.reason).toBe("expected an embedding of 4 bytes a number, got 7 bytes");
  const odd = [...sink.memories.values()].find(({ content }) => content === "odd metadata");
  expect(odd).toMatchObject({
    metadata: { kind: "episode", tags: "a,b" },
    created_at: "1970-01-01T00:00:00.000Z",
  });
});

test("a file with fewer columns and tables, as agentdb's server makes it, is read as well", async () => {
  build((database) => {
    database.exec("create table episodes (id integer primary key, ts integer, session_id text, task text)");
    database.exec(
      "create table episode_embeddings (episode_id integer primary key, embedding blob not null)",
    );
    database.exec("insert into episodes values (1, 1700000000, 's', 'short')");
    database.run("insert into episode_embeddings values (1, ?)", [floats(3)]);
  });
  const sink = new MapSink();
  await importAgentDb(path, sink, { agentId });
  expect(find(sink, "episode")).toMatchObject({
    content: "short",
    embedding: Float32Array.of(3),
    embedding_model: "all-MiniLM-L6-v2",
    metadata: { kind: "episode" },
  });
});

test("a file of agentdb's browser build is read: the text from the metadata, the vector from the row", async () => {
  build((database) => {
    database.exec(
      "create table vectors (id integer primary key autoincrement, embedding blob, metadata text, created_at integer)",
    );
    database.run("insert into vectors values (1, ?, ?, 1700000000)", [
      floats(1, 2),
      '{"text":"from a page","topic":"ui"}',
    ]);
  });
  const sink = new MapSink();
  await importAgentDb(path, sink, { agentId });
  expect(find(sink, "vector")).toMatchObject({
    content: "from a page",
    embedding: Float32Array.of(1, 2),
    embedding_model: null,
    metadata: { kind: "vector", topic: "ui" },
  });
});

test("embeddings can be left behind", async () => {
  build(fill);
  const sink = new MapSink();
  await importAgentDb(path, sink, { agentId, embeddings: "drop" });
  expect(sink.memories.size).toBe(8);
  for (const memory of sink.memories.values())
    expect(memory).toMatchObject({ embedding: null, embedding_model: null });
});

test("what is no file of agentdb is refused, and no copy of it stays behind", async () => {
  const leftovers = async (): Promise<string[]> =>
    (await readdir(tmpdir())).filter((name) => name.startsWith("federation-import-"));
  const before = await leftovers();
  await expect(importAgentDb(path, new MapSink(), { agentId })).rejects.toMatchObject({ code: "not_found" });
  await writeFile(path, "this is no database, and longer than the header of one is. ".repeat(20));
  await expect(importAgentDb(path, new MapSink(), { agentId })).rejects.toMatchObject({
    code: "invalid_argument",
  });
  await rm(path);
  build((database) => database.exec("create table accounts (id integer)"));
  await expect(importAgentDb(path, new MapSink(), { agentId })).rejects.toThrow(
    "expected tables of agentdb 1.x, found accounts",
  );
  await expect(importAgentDb(path, new MapSink(), { agentId: "" })).rejects.toMatchObject({
    code: "invalid_argument",
  });
  expect(await leftovers()).toEqual(before);
});
