import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { nativeUrl } from "../../../../test-support/database.ts";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
  as,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  rpc,
  service,
  sql,
  type Announcement,
  type Caller,
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Memory {
  readonly id: string;
  readonly content: string;
  readonly version: number;
  readonly [key: string]: unknown;
}

const store = (caller: Caller, memory: object, args: Record<string, string> = {}): Promise<Memory> =>
  call<Memory>(database, caller, "store_memory", { memory, ...args });

test("a memory is stored, read, found by meaning, announced with its content, and replaced", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const given = {
    id: "mem-001",
    session_id: "never-registered",
    content: "safety requires consideration",
    embedding: [0.25, -1, 3],
    embedding_model: "test",
    metadata: { topic: "safety", confidence: 0.95 },
    source: { url: "x" },
    expires_at: "2999-01-01T00:00:00+00:00",
  };
  const stored = await store(alice, given);
  expect(stored).toEqual({
    ...given,
    session_agent: null,
    deleted_at: null,
    hlc: { ms: expect.any(Number) as number, counter: 0, writer: "alice" },
    tenant_id: tenant,
    agent_id: "alice",
    scope: "tenant",
    written_by: "alice",
    content_hash: createHash("sha256").update(given.content).digest("hex"),
    supersedes: null,
    superseded_by: null,
    version: 1,
    created_at: expect.any(String) as string,
    updated_at: expect.any(String) as string,
    seq: expect.any(Number) as number,
  });
  expect(await announcements(database, tenant)).toMatchObject([
    { topic: `federation:${tenant}:feed`, event: "memory", payload: { op: "added", memories: [stored] } },
  ]);
  expect(await call(database, bob, "get_memory", { id: "mem-001" })).toEqual(stored);
  expect(await callRows(database, bob, "query_memories")).toEqual([stored]);
  expect(await call(database, bob, "search_memories", { embedding: "[0.25,-1,3]" })).toEqual({
    ...stored,
    similarity: 1,
  });

  expect(await store(alice, given)).toEqual(stored);
  expect(await announcements(database, tenant)).toHaveLength(1);
  const replaced = await store(alice, { id: "mem-001", content: "new", created_at: "2001-01-01" });
  expect(replaced).toMatchObject({
    content: "new",
    version: 2,
    embedding: null,
    metadata: {},
    created_at: stored["created_at"],
  });
  expect((await announcements(database, tenant)).at(-1)?.payload).toMatchObject({
    op: "updated",
    memories: [replaced],
  });
});

test("a deleted memory leaves a tombstone without content, and can be stored again", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await store(alice, { id: "k", content: "secret plan", metadata: { a: 1 }, embedding: [1, 2] });
  await expect(call(database, bob, "delete_memory", { id: "k" })).rejects.toMatchObject({ code: "42501" });
  expect(await call(database, agent(newTenant(), "alice"), "delete_memory", { id: "k" })).toBe(false);
  expect(await call(database, alice, "delete_memory", { id: "k" })).toBe(true);
  expect(await call(database, alice, "delete_memory", { id: "k" })).toBe(false);
  expect(await call(database, alice, "get_memory", { id: "k" })).toBeNull();
  expect(await callRows(database, alice, "query_memories")).toEqual([]);
  expect(await callRows(database, alice, "search_memories", { embedding: "[1,2]" })).toEqual([]);
  const tombstone = await sql(
    database,
    alice,
    "select content, embedding, metadata, content_hash, words, version, hlc_ms > 0 from public.agent_memories",
  );
  expect(tombstone.rows).toEqual([[null, null, "{}", null, "", "2", "t"]]);
  expect((await announcements(database, tenant)).at(-1)?.payload).toMatchObject({
    op: "deleted",
    memories: [{ id: "k", content: null, embedding: null, metadata: {} }],
  });
  expect(await store(alice, { id: "k", content: "again" })).toMatchObject({ version: 3, content: "again" });
  expect((await announcements(database, tenant)).at(-1)?.payload).toMatchObject({ op: "added" });
  const events = await callRows(database, bob, "list_events");
  expect(events.map(({ kind, subject }) => [kind, subject])).toEqual([
    ["memory_stored", "k"],
    ["memory_deleted", "k"],
    ["memory_stored", "k"],
  ]);
});

test("what an agent keeps to itself no other agent reads, finds, hears of, overwrites or deletes", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const own = await store(alice, { id: "own", content: "mine", scope: "agent", embedding: [1, 0] });
  const everything = async (caller: Caller) => [
    await call(database, caller, "get_memory", { id: "own" }),
    await callRows(database, caller, "query_memories", { agent: "alice" }),
    await callRows(database, caller, "search_memories", { embedding: "[1,0]" }),
    (await sql(database, caller, "select id from public.agent_memories where tenant_id = $1", [tenant])).rows,
    await callRows(database, caller, "list_events"),
    (await call(database, caller, "federation_stats"))["total_memories"],
  ];
  expect(await everything(bob)).toEqual([null, [], [], [], [], 0]);
  expect(await everything(alice)).toMatchObject([
    own,
    [own],
    [{ ...own, similarity: 1 }],
    [["own"]],
    [{}],
    1,
  ]);
  await expect(store(bob, { id: "own", content: "bob's" })).rejects.toMatchObject({
    code: "42501",
    message: "memory 'own' belongs to another agent",
  });
  expect(await call(database, bob, "delete_memory", { id: "own" })).toBe(false);
  for (const [who, seen] of [
    ["alice", 1],
    ["bob", 0],
  ] as const) {
    const found = await callRows(database, service, "query_memories", { as_agent: who, as_tenant: tenant });
    expect(found).toHaveLength(seen);
  }
  expect(await callRows(database, service, "query_memories", { as_tenant: tenant })).toEqual([own]);

  // It becomes everybody's, and then its own again: the others are told both times.
  await store(alice, { id: "own", content: "mine", scope: "tenant" });
  await store(alice, { id: "own", content: "mine again", scope: "agent" });
  const told = (await announcements(database, tenant)).map(({ topic, payload }) => [
    topic.replace(`federation:${tenant}:`, ""),
    payload["op"],
    (payload["memories"] as Memory[])[0]?.content,
  ]);
  expect(told[0]).toEqual(["agent:alice", "added", "mine"]);
  expect(told[1]).toEqual(["feed", "added", "mine"]); // hers, too: it is not gone
  expect(told.slice(2).toSorted(byText)).toEqual([
    ["agent:alice", "added", "mine again"],
    ["feed", "deleted", null],
  ]);
});

/** Two announcements of one statement come in no particular order. */
function byText(one: unknown, other: unknown): number {
  return JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
}

test("members change only their own memories, directly as by function", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await sql(database, alice, "insert into public.agent_memories (id, content) values ('k', 'c')");
  const { rows } = await sql(
    database,
    bob,
    "select tenant_id, agent_id, written_by, hlc_writer, hlc_ms > 0, version, scope from public.agent_memories",
  );
  expect(rows).toEqual([[tenant, "alice", "alice", "alice", "t", "1", "tenant"]]);
  const refused = [
    [bob, "insert into public.agent_memories (id, content, agent_id) values ('b', 'c', 'alice')"],
    [bob, "insert into public.agent_memories (id, content, written_by) values ('b', 'c', 'alice')"],
    [bob, "insert into public.agent_memories (id, content, tenant_id) values ('b', 'c', 'other')"],
    [alice, "update public.agent_memories set agent_id = 'bob'"],
    [alice, "update public.agent_memories set tenant_id = 'other'"],
    [alice, "delete from public.agent_memories"],
  ] as const;
  for (const [caller, text] of refused) {
    await expect(sql(database, caller, text), text).rejects.toMatchObject({ code: "42501" });
  }
  expect((await sql(database, bob, "update public.agent_memories set content = 'x'")).affectedRows).toBe(0);
  await sql(
    database,
    alice,
    "update public.agent_memories set content = 'd', version = 99, seq = 0, tx = '0', row_id = gen_random_uuid()",
  );
  expect(await call(database, bob, "get_memory", { id: "k" })).toMatchObject({ content: "d", version: 2 });
  await sql(database, alice, "update public.agent_memories set deleted_at = now()");
  expect((await announcements(database, tenant)).at(-1)?.payload).toMatchObject({
    op: "deleted",
    memories: [{ content: null }],
  });
});

test("expired and superseded memories are never returned; expired ones are removed by the clean-up", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await call(database, alice, "store_memories", {
    memories: [
      { id: "expired", content: "old", embedding: [1, 0], expires_at: "2020-01-01" },
      { id: "first", content: "v1", embedding: [1, 0] },
    ],
  });
  await store(alice, { id: "second", content: "v2", embedding: [1, 0], supersedes: "first" });
  const ids = (rows: readonly { id?: unknown }[]) => rows.map(({ id }) => id);
  expect(ids(await callRows(database, alice, "query_memories"))).toEqual(["second"]);
  expect(ids(await callRows(database, alice, "search_memories", { embedding: "[1,0]" }))).toEqual(["second"]);
  expect(await call(database, alice, "get_memory", { id: "expired" })).toBeNull();
  expect(await call(database, alice, "get_memory", { id: "first" })).toBeNull();
  expect(await call(database, alice, "federation_stats")).toMatchObject({ total_memories: 1 });
  expect(await call(database, agent(newTenant(), "alice"), "cleanup_expired_memories")).toBe(0);
  expect(await call(database, agent(tenant, "bob"), "cleanup_expired_memories")).toBe(1);
  const left = await sql(database, alice, "select id, superseded_by from public.agent_memories order by id");
  expect(left.rows).toEqual([
    ["first", "second"],
    ["second", null],
  ]);
  // A service that names no tenant cleans up everywhere.
  await store(alice, { id: "expired", content: "old", expires_at: "2020-01-01" });
  expect(await call(database, service, "cleanup_expired_memories")).toBeGreaterThan(0);
  expect(await call(database, alice, "cleanup_expired_memories")).toBe(0);
});

test("a batch is one statement and one announcement; of two with one id the later counts", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const stored = await callRows<Memory>(database, alice, "store_memories", {
    memories: [
      { id: "b", content: "1" },
      { id: "a", content: "2" },
      { id: "b", content: "3" },
    ],
  });
  expect(stored.map(({ id, content }) => [id, content])).toEqual([
    ["b", "3"],
    ["a", "2"],
    ["b", "3"],
  ]);
  expect((await announcements(database, tenant)).map(idsIn)).toEqual([["a", "b"]]);
  await expect(
    call(database, alice, "store_memories", { memories: [{ id: "c", content: "1" }, { id: "d" }] }),
  ).rejects.toMatchObject({ code: "22023", message: "memory 'd': content: expected a text, got nothing" });
  expect(await call(database, alice, "get_memory", { id: "c" })).toBeNull();
  expect(await callRows(database, alice, "store_memories", { memories: "[]" })).toEqual([]);
});

test("where a statement's memories are too large together, their ids are announced, at most 500 at once", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const batch = (count: number, size: number, name: string) =>
    Array.from({ length: count }, (_, index) => ({ id: `${name}${index}`, content: "x".repeat(size) }));
  await call(database, alice, "store_memories", { memories: batch(3, 70_000, "large") });
  await call(database, alice, "store_memories", { memories: batch(1001, 1, "many") });
  await call(database, alice, "store_memories", { memories: batch(2, 70_000, "fits") });
  const told = await announcements(database, tenant);
  expect(told.map(({ payload }) => [Object.keys(payload).toSorted(), idsIn({ payload }).length])).toEqual([
    [["id", "ids", "op"], 3],
    [["id", "ids", "op"], 500],
    [["id", "ids", "op"], 500],
    [["id", "ids", "op"], 1],
    [["id", "memories", "op"], 2],
  ]);
  expect(idsIn(told[0])).toEqual(["large0", "large1", "large2"]);
  for (const { payload } of told) expect(JSON.stringify(payload).length).toBeLessThan(201_000);
});

function idsIn(told: Pick<Announcement, "payload"> | undefined): string[] {
  const { ids, memories } = told?.payload ?? {};
  return (ids as string[] | undefined) ?? ((memories as Memory[] | undefined) ?? []).map(({ id }) => id);
}

test("vectors of any dimension live side by side, and a search compares only its own", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  await call(database, alice, "store_memories", {
    memories: [
      { id: "two", content: "x", embedding: [0, 1] },
      { id: "near", content: "x", embedding: [1, 0.1] },
      { id: "text", content: "x", embedding: "[1,1]" },
      { id: "three", content: "x", embedding: [1, 0, 0] },
      { id: "none", content: "x" },
    ],
  });
  const search = (embedding: string, max_rows?: number) =>
    callRows<Memory>(database, alice, "search_memories", { embedding, max_rows });
  expect((await search("[1,0]")).map(({ id }) => id)).toEqual(["near", "text", "two"]);
  expect((await search("[1,0]", 1)).map(({ id }) => id)).toEqual(["near"]);
  expect((await search("[1,0]"))[2]?.["similarity"]).toBeCloseTo(0, 6);
  expect((await search("[2,0,0]")).map(({ id, similarity }) => [id, similarity])).toEqual([["three", 1]]);
  expect(await search("[1,2,3,4]")).toEqual([]);
  await expect(search("[0,0]")).rejects.toMatchObject({ code: "22023" });
  await expect(search("[1,nan]")).rejects.toMatchObject({ code: expect.any(String) as string });
  await expect(store(alice, { id: "zero", content: "x", embedding: [0, 0] })).rejects.toMatchObject({
    code: "23514",
  });
});

test("the statement for an index makes one that a search uses", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  for (const [dimensions, part] of [
    [3, "extensions.vector_cosine_ops"],
    [2001, "extensions.halfvec_cosine_ops"],
  ] as const) {
    const statement = await call<string>(database, alice, "memory_index_statement", { dimensions });
    expect(statement).toContain(part);
    await database.exec(`${statement}; ${statement}`);
    const embedding = JSON.stringify(Array.from({ length: dimensions }, (_, index) => (index === 0 ? 1 : 0)));
    await store(alice, { id: `d${dimensions}`, content: "x", embedding });
    expect(await callRows(database, alice, "search_memories", { embedding })).toMatchObject([
      { id: `d${dimensions}`, similarity: 1 },
    ]);
    const used = await as(database, alice, async (session) => {
      await session.query("set local enable_seqscan = off");
      await session.query("set local enable_bitmapscan = off");
      await session.query("set local enable_sort = off");
      const kind = dimensions <= 2000 ? "vector" : "halfvec";
      const { rows } = await session.query(
        `explain select from public.agent_memories k where extensions.vector_dims(k.embedding) = ${dimensions}
         order by k.embedding::extensions.${kind}(${dimensions}) operator(extensions.<=>) '${embedding}'::extensions.${kind}(${dimensions}) limit 1`,
      );
      return rows.join("\n");
    });
    expect(used).toContain(`agent_memories_hnsw_${dimensions}`);
    await database.exec(`drop index public.agent_memories_hnsw_${dimensions}`);
  }
  for (const dimensions of [0, 4001]) {
    await expect(call(database, alice, "memory_index_statement", { dimensions })).rejects.toMatchObject({
      code: "22023",
    });
  }
});

test.each([
  [{}, "memory 1: id: expected a text, got nothing"],
  [{ id: "", content: "x" }, "memory 1: id: expected 1 to 255 bytes, got 0"],
  [{ id: "é".repeat(128), content: "x" }, "memory 1: id: expected 1 to 255 bytes, got 256"],
  [
    { id: "k", content: "x".repeat(1_048_577) },
    "memory 'k': content: expected 0 to 1048576 bytes, got 1048577",
  ],
  [
    { id: "k", content: "x", scope: "world" },
    "memory 'k': scope: expected agent, session or tenant, got 'world'",
  ],
])("store_memory refuses %#", async (memory, message) => {
  await expect(store(agent("t", "a"), memory)).rejects.toMatchObject({ code: "22023", message });
});

test("a memory for another agent or tenant is refused; a service may store for several agents at once", async () => {
  const tenant = newTenant();
  for (const foreign of [{ agent_id: "bob" }, { tenant_id: "other" }]) {
    await expect(store(agent(tenant, "alice"), { id: "k", content: "x", ...foreign })).rejects.toMatchObject({
      code: "42501",
    });
  }
  const memories = ["alice", "bob"].map((agent_id) => ({
    id: agent_id,
    content: "x",
    agent_id,
    tenant_id: tenant,
  }));
  expect(await callRows(database, service, "store_memories", { memories, as_tenant: tenant })).toMatchObject(
    memories,
  );
  await expect(
    call(database, service, "store_memory", { memory: { id: "k", content: "x" }, as_tenant: tenant }),
  ).rejects.toMatchObject({ code: "42501" });
  await expect(
    store(service, { id: "alice", content: "bob's now" }, { as_agent: "bob", as_tenant: tenant }),
  ).rejects.toMatchObject({ code: "42501", message: "memory 'alice' belongs to another agent" });
});

test("hostile ids and content come back as they went in", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const ids = [
    "'; drop table public.agent_memories; --",
    '"quoted" \\ back',
    "{}",
    "日本語",
    "a,b",
    "null",
    "\u0001",
  ];
  for (const id of ids) {
    expect(await store(alice, { id, content: id })).toMatchObject({ id, content: id });
    expect(await call(database, alice, "get_memory", { id })).toMatchObject({ content: id });
  }
  await expect(store(alice, { id: "nul\u0000", content: "x" })).rejects.toMatchObject({ code: "22P05" });
});

test("content of the largest size is stored and found by its words, whatever it is made of", async () => {
  const alice = agent(newTenant(), "alice");
  const contents = [
    Array.from({ length: 130_000 }, (_, index) => index.toString(36).padStart(7, "q"))
      .join(" ")
      .slice(0, 1_048_576),
    // Hyphenated words of four-byte characters, each stored whole and in parts.
    Array.from({ length: 58_000 }, (_, index) => `${wide(index)}-${wide(index + 7)}`).join(" "),
    Array.from({ length: 20_000 }, (_, index) => `a${index}.example.org/path/${index}?q=${index}`).join(" "),
    "x".repeat(1_048_576),
  ];
  for (const [index, content] of contents.entries()) {
    expect(Buffer.byteLength(content)).toBeLessThanOrEqual(1_048_576);
    expect((await store(alice, { id: `k${index}`, content })).content).toBe(content);
  }
  const { rows } = await sql(
    database,
    alice,
    "select id from public.agent_memories where words @@ to_tsquery('simple', 'qqqq1ab')",
  );
  expect(rows).toEqual([["k0"]]);
});

/** A letter outside the basic plane: CJK extension B. */
function wide(index: number): string {
  return String.fromCodePoint(0x20000 + (index % 40_000));
}

test("a batch is written in the order of its ids and answered in the order of the call", async () => {
  const tenant = newTenant();
  const given = ["c", "a", "d", "b"];
  const memories = given.map((id) => ({ id, content: id }));
  const stored = await callRows<Memory>(database, agent(tenant, "alice"), "store_memories", { memories });
  expect(stored.map(({ id }) => id)).toEqual(given);
  const numbered = stored.toSorted((one, other) => Number(one["seq"]) - Number(other["seq"]));
  expect(numbered.map(({ id }) => id)).toEqual(["a", "b", "c", "d"]);
});

// The embedded database has one connection: nothing happens at once there.
test.skipIf(nativeUrl === undefined)(
  "batches that share memories in another order wait for each other, whoever supersedes what",
  async () => {
    const alice = agent(newTenant(), "alice");
    const ids = Array.from({ length: 300 }, (_, at) => `m${at}`);
    const batch = (round: number, order: readonly string[]) =>
      order.map((id) => ({ id, content: `${round} ${id}` }));
    for (let round = 0; round < 4; round += 1) {
      const superseding = { id: `n${round}`, content: "n", supersedes: "m0" };
      const batches = [
        batch(round, ids),
        batch(-1 - round, ids.toReversed()),
        [...batch(round, ids.slice(150)), superseding],
        [superseding, ...batch(-1 - round, ids.slice(0, 200).toReversed())],
      ];
      const store = (memories: object) => callRows(database, alice, "store_memories", { memories });
      const outcomes = await Promise.allSettled(batches.map(store));
      expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([]);
    }
  },
);

test.skipIf(nativeUrl === undefined)(
  "eight who store the same memory at once store it once; another agent's is refused",
  async () => {
    const tenant = newTenant();
    const memory = { id: "k", content: "x", embedding: [1, 2] };
    const answers = await Promise.all(Array.from({ length: 8 }, () => store(agent(tenant, "alice"), memory)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]?.version).toBe(1);
    expect((await announcements(database, tenant)).map(idsIn)).toEqual([["k"]]);
    const race = await Promise.allSettled(
      ["a", "b", "c", "d"].map((name) =>
        store(agent(tenant, name), { id: "race", content: name, scope: "agent" }),
      ),
    );
    expect(race.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of race) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "42501" });
    }
  },
);

test("a memory that is rolled back is never announced", async () => {
  const tenant = newTenant();
  await expect(
    as(database, agent(tenant, "alice"), async (session) => {
      await rpc(session, "store_memory", { memory: { id: "k", content: "x" } });
      throw new Error("no");
    }),
  ).rejects.toThrow("no");
  expect(await announcements(database, tenant)).toEqual([]);
});

test("the hybrid clock moves on with every write that brings none, and keeps one that is later and can be right", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const clock = async (): Promise<number[]> => {
    const { rows } = await sql(database, alice, "select hlc_ms, hlc_counter from public.agent_memories");
    return (rows[0] ?? []).map(Number);
  };
  const future = Date.now() + 30_000;
  await sql(
    database,
    alice,
    `insert into public.agent_memories (id, content, hlc_ms, hlc_counter, hlc_writer) values ('k', 'c', ${future}, 4, 'x')`,
  );
  expect(await clock()).toEqual([future, 4]);
  await store(alice, { id: "k", content: "d" });
  expect(await clock()).toEqual([future, 5]);
  await sql(database, alice, "update public.agent_memories set hlc_ms = 1, hlc_counter = 0");
  expect(await clock()).toEqual([future, 6]);
  await sql(database, alice, "update public.agent_memories set hlc_ms = 9000000000000, hlc_counter = 0");
  expect(await clock()).toEqual([future, 7]);
});
