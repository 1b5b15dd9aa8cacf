import { afterAll, beforeAll, expect, test } from "vitest";
import { nativeUrl } from "../../../../test-support/database.ts";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  service,
  sql,
  type Caller,
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Match {
  readonly id: string;
  readonly similarity: number | null;
  readonly score: number;
}

const find = (caller: Caller, query: object, args: object = {}): Promise<Match[]> =>
  callRows<Match>(database, caller, "find_memories", { query, ...args });
const ids = (matches: readonly { readonly id: string }[]) => matches.map(({ id }) => id);
const store = (caller: Caller, memories: object): Promise<unknown> =>
  callRows(database, caller, "store_memories", { memories });

/** Four memories of alice and one of bob, some with a model. */
async function fill(tenant: string): Promise<void> {
  await store(agent(tenant, "alice"), [
    {
      id: "cat",
      content: "the cat sat on the mat",
      embedding: [1, 0],
      created_at: "2020-01-01",
      metadata: { tags: ["pet"] },
    },
    {
      id: "dog",
      content: "a dog's dinner",
      embedding: [0.8, 0.6],
      created_at: "2021-01-01",
      session_id: "s1",
    },
    { id: "car", content: "Catalytic converters", embedding: [0, 1], created_at: "2022-01-01" },
    { id: "far", content: "nothing", embedding: [1, 0], embedding_model: "other", created_at: "2023-01-01" },
  ]);
  await store(agent(tenant, "bob"), [
    { id: "bobs", content: "bob has a cat", created_at: "2024-01-01", scope: "agent" },
  ]);
}

test("by meaning: best first, of the same model and dimension, down to a similarity", async () => {
  const tenant = newTenant();
  await fill(tenant);
  const alice = agent(tenant, "alice");
  const found = await find(alice, { embedding: [1, 0] });
  expect(found.map(({ id, similarity, score }) => [id, similarity?.toFixed(2), score.toFixed(2)])).toEqual([
    ["cat", "1.00", "1.00"],
    ["dog", "0.80", "0.80"],
    ["car", "0.00", "0.00"],
  ]);
  const { similarity, score, ...memory } = found[0]!;
  expect(memory).toEqual(await call(database, alice, "get_memory", { id: "cat" }));
  expect([similarity, score]).toEqual([1, 1]);
  expect(ids(await find(alice, { embedding: "[1,0]", min_similarity: 0.5 }))).toEqual(["cat", "dog"]);
  expect(ids(await find(alice, { embedding: [1, 0], limit: 1 }))).toEqual(["cat"]);
  expect(ids(await find(alice, { embedding: [1, 0], embedding_model: "other" }))).toEqual(["far"]);
  expect(await find(alice, { embedding: [1, 0, 0] })).toEqual([]);
});

test("by words: any of them, the last as a prefix, whatever signs are in the text", async () => {
  const tenant = newTenant();
  await fill(tenant);
  const alice = agent(tenant, "alice");
  expect(ids(await find(alice, { text: "CAT mat" }))).toEqual(["cat"]);
  expect(ids(await find(alice, { text: "dog cat" })).toSorted()).toEqual(["car", "cat", "dog"]);
  expect(ids(await find(alice, { text: "cata" }))).toEqual(["car"]);
  expect(ids(await find(alice, { text: "dog's" }))[0]).toBe("dog");
  for (const text of ["", "  ", "!?&|()':*\\", "'", "\\' | !", "dog' & 'x"]) {
    expect(
      ids(await find(alice, { text, mode: "words" })).filter((id) => id !== "dog"),
      text,
    ).toEqual([]);
  }
  expect(await find(alice, { text: "mat" })).toMatchObject([{ id: "cat", similarity: null }]);
});

test("by both: the places in both lists count", async () => {
  const tenant = newTenant();
  await fill(tenant);
  const found = await find(agent(tenant, "alice"), { text: "dog", embedding: [1, 0] });
  expect(found.map(({ id, score }) => [id, score.toFixed(6)])).toEqual([
    ["dog", (1 / 62 + 1 / 61).toFixed(6)],
    ["cat", (1 / 61).toFixed(6)],
    ["car", (1 / 63).toFixed(6)],
  ]);
  expect(found[0]?.similarity).toBeCloseTo(0.8);
  // What only the words find was not compared.
  const [bobs] = await find(agent(tenant, "bob"), {
    text: "bob",
    embedding: [0, 1],
    min_similarity: 0.9,
    mode: "both",
  });
  expect(bobs).toMatchObject({ id: "bobs", similarity: null });
});

test.each<readonly [filter: object, words: readonly string[], meaning: readonly string[]]>([
  [{ agent: "alice" }, ["car", "cat"], ["cat", "dog"]],
  [{ agent: "bob" }, ["bobs"], []],
  [{ session: "s1" }, [], ["dog"]],
  [{ since: "2022-01-01" }, ["bobs", "car"], ["car"]],
  [{ until: "2022-01-01" }, ["cat"], ["cat", "dog"]],
  [{ since: "2020-01-01", until: "2020-01-02", agent: null }, ["cat"], ["cat"]],
  [{ metadata: { tags: ["pet"] } }, ["cat"], ["cat"]],
  [{ metadata: {} }, ["bobs", "car", "cat"], ["cat", "dog"]],
])("a filter %j is exact, by words and by meaning", async (filter, words, meaning) => {
  const tenant = newTenant();
  await fill(tenant);
  const bob = agent(tenant, "bob");
  expect(ids(await find(bob, { text: "cat", filter })).toSorted()).toEqual(words);
  expect(ids(await find(bob, { embedding: [1, 0], filter, limit: 2 })).toSorted()).toEqual(meaning);
});

test("what is wrong with a query is said", async () => {
  const alice = agent(newTenant(), "alice");
  for (const query of [
    {},
    { mode: "meaning", text: "x" },
    { mode: "both", text: "x" },
    { mode: "guess", text: "x" },
    { embedding: [0, 0] },
    { text: "x", limit: -1 },
    { text: "x", filters: {} },
    { text: "x", filter: { agents: "alice" } },
    { text: "x", filter: [] },
    { text: "x", filter: { agent: "a b" } },
  ]) {
    await expect(find(alice, query), JSON.stringify(query)).rejects.toMatchObject({ code: "22023" });
  }
});

test("nothing that is expired, superseded, deleted, another agent's own or another tenant's is found", async () => {
  const [tenant, elsewhere] = [newTenant(), newTenant()];
  const memory = (id: string, more: object = {}) => ({ id, content: "word", embedding: [1, 0], ...more });
  await store(agent(elsewhere, "alice"), [memory("theirs")]);
  await store(agent(tenant, "alice"), [
    memory("expired", { expires_at: "2001-01-01" }),
    memory("deleted"),
    memory("old"),
    memory("own", { scope: "agent" }),
    memory("left"),
  ]);
  await store(agent(tenant, "alice"), [memory("new", { supersedes: "old" })]);
  await call(database, agent(tenant, "alice"), "delete_memory", { id: "deleted" });
  const seen = async (caller: Caller, args: object = {}) => {
    const queries = [{ text: "word" }, { embedding: [1, 0] }, { text: "word", embedding: [1, 0] }];
    return await Promise.all(queries.map(async (query) => ids(await find(caller, query, args)).toSorted()));
  };
  const thrice = (expected: readonly string[]) => [expected, expected, expected];
  expect(await seen(agent(tenant, "bob"))).toEqual(thrice(["left", "new"]));
  expect(await seen(agent(tenant, "alice"))).toEqual(thrice(["left", "new", "own"]));
  expect(await seen(service, { as_tenant: tenant, as_agent: "bob" })).toEqual(thrice(["left", "new"]));
  expect(await seen(service, { as_tenant: tenant })).toEqual(thrice(["left", "new", "own"]));
  expect(await seen(agent(elsewhere, "bob"))).toEqual(thrice(["theirs"]));
  await expect(find(service, { text: "word" })).rejects.toMatchObject({ code: "42501" });
  // The helper that the table's owner runs shows no more.
  const { rows } = await sql(
    database,
    agent(tenant, "bob"),
    "select count(*) from federation.matches('[1,0]', null, 'word', null, 100, null)",
  );
  expect(rows).toEqual([["4"]]);
});

// Embedded, making 12,000 rows and their index takes most of a minute.
test.skipIf(nativeUrl === undefined)(
  "with an index, few that pass a filter are all compared and many go through the index",
  async () => {
    await using fresh = {
      database: await openFederationDatabase(),
      [Symbol.asyncDispose]: () => fresh.database.close(),
    };
    const [tenant, other] = [newTenant(), newTenant()];
    await fresh.database.query(
      `insert into public.agent_memories (tenant_id, id, agent_id, content, embedding, metadata)
     select case when n % 20 = 0 then $1 else $2 end, n::text, 'alice', 'x', format('[%s,%s]', cos(n), sin(n))::vector, jsonb_build_object('n', n % 1000)
     from generate_series(1, 12000) n`.replaceAll("::vector", "::extensions.vector"),
      [tenant, other],
    );
    const { rows } = await fresh.database.query("select public.memory_index_statement(2)");
    await fresh.database.exec(rows[0]?.[0] ?? "");
    // By how near they are: among the nearest, 32 bits cannot tell every two apart.
    const best = async (of: string, query: object) => {
      const args = { query: { embedding: [1, 0], limit: 20, ...query } };
      const found = await callRows<Match>(fresh.database, agent(of, "bob"), "find_memories", args);
      return found.map(({ id }) => Math.cos(Number(id)).toFixed(5));
    };
    const exact = (passes: (n: number) => boolean) =>
      Array.from({ length: 12_000 }, (_, at) => at + 1)
        .filter(passes)
        .map((n) => Math.cos(n))
        .toSorted((a, b) => b - a)
        .slice(0, 20)
        .map((near) => near.toFixed(5));
    expect(await best(tenant, {})).toEqual(exact((n) => n % 20 === 0));
    expect(await best(tenant, { filter: { metadata: { n: 40 } } })).toEqual(exact((n) => n % 1000 === 40));
    expect(await best(other, { filter: { metadata: { n: 41 } } })).toEqual(exact((n) => n % 1000 === 41));
    const many = await best(other, {});
    const wanted = exact((n) => n % 20 !== 0);
    expect(many).toHaveLength(20);
    expect(many.filter((near) => wanted.includes(near)).length).toBeGreaterThan(17);
  },
  120_000,
);

test("delete_memories leaves tombstones of one's own that a filter admits, in one announcement", async () => {
  const [tenant, elsewhere] = [newTenant(), newTenant()];
  await fill(tenant);
  await fill(elsewhere);
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const remove = (caller: Caller, filter: object, args: object = {}) =>
    call<number>(database, caller, "delete_memories", { filter, ...args });
  await expect(remove(alice, {})).rejects.toMatchObject({ code: "22023" });
  await expect(remove(alice, { agent: null })).rejects.toMatchObject({ code: "22023" });
  await expect(remove(alice, { Agent: "x" })).rejects.toMatchObject({ code: "22023" });
  await expect(remove(bob, { agent: "alice" })).rejects.toMatchObject({ code: "42501" });
  const before = (await announcements(database, tenant)).length;
  expect(await remove(alice, { until: "2022-01-01" })).toBe(2);
  const told = (await announcements(database, tenant)).slice(before);
  expect(told).toMatchObject([{ payload: { op: "deleted" } }]);
  expect(ids(told[0]?.payload["memories"] as { id: string }[]).toSorted()).toEqual(["cat", "dog"]);
  expect(await remove(alice, { until: "2022-01-01" })).toBe(0);
  expect(await remove(alice, { since: "2000-01-01" })).toBe(2);
  expect(ids(await callRows(database, bob, "query_memories"))).toEqual(["bobs"]);
  expect(await remove(service, { agent: "bob" }, { as_tenant: tenant })).toBe(1);
  await expect(remove(service, { agent: "bob" })).rejects.toMatchObject({ code: "42501" });
  expect(await callRows(database, agent(elsewhere, "alice"), "query_memories")).toHaveLength(4);
});
