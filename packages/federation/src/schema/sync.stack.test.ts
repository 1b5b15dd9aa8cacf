import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  announcements,
  anon,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  service,
  sql,
  type Caller,
} from "../../../../test-support/sql-roles.ts";
import { settled } from "./testing/settled.ts";
import cases from "../memory/sync/hlc-cases.json" with { type: "json" };

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Told {
  readonly id: string;
  readonly content: string | null;
  readonly hlc: { readonly ms: number; readonly counter: number; readonly writer: string };
  readonly [key: string]: unknown;
}
interface Answer {
  readonly outcome: "applied" | "older" | "refused";
  readonly clock_moved?: boolean;
  readonly memory?: Told;
  readonly code?: string;
}
interface Page {
  readonly rows: readonly Told[];
  readonly cursor: string;
  readonly done: boolean;
  readonly reset: boolean;
}

const clock = (ms: number, counter = 0, writer = "w") => ({ ms, counter, writer });
const push = (caller: Caller, memories: readonly object[], args: object = {}): Promise<Answer[]> =>
  callRows<Answer>(database, caller, "push_memories", { memories, ...args });
async function pull(caller: Caller, cursor: string | null = null, args: object = {}): Promise<Page> {
  await settled(database);
  return await call<Page>(database, caller, "pull_memories", { cursor, ...args });
}
const outcomes = (answers: readonly Answer[]) => answers.map(({ outcome }) => outcome);

describe("of two writes the database keeps the one that replicas keep", () => {
  test.each(cases)("$name", async ({ held, incoming, wins }) => {
    const alice = agent(newTenant(), "alice");
    const at = (hlc: object, content: string) => ({ id: "k", content, hlc });
    // A clock far ahead never gets into the database, so such a pair is compared where it would be.
    const { rows } = await sql(
      database,
      alice,
      "select federation.is_later($1, $2, $3, $4, $5, $6), federation.is_later($4, $5, $6, $1, $2, $3)",
      [incoming, held].flatMap(({ ms, counter, writer }) => [String(ms), String(counter), writer]),
    );
    expect(rows).toEqual([[wins === "incoming" ? "t" : "f", wins === "held" ? "t" : "f"]]);
    if (Math.max(held.ms, incoming.ms) > Date.now()) return;
    await push(alice, [at(held, "held")]);
    const [answer] = await push(alice, [at(incoming, "incoming")]);
    expect(answer).toMatchObject({
      outcome: wins === "held" ? "older" : "applied",
      memory: wins === "incoming" ? { content: "incoming", hlc: incoming } : { content: "held", hlc: held },
    });
  });
});

test("a push is applied once, answers in its order, and is one announcement", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const given = ["c", "a", "b"].map((id) => ({
    id,
    content: `of ${id}`,
    embedding: "[1,2]",
    metadata: { id },
    source: [1],
    created_at: "2020-01-01T00:00:00+00:00",
    hlc: clock(5),
  }));
  const first = await push(alice, given);
  expect(first.map(({ memory }) => memory?.id)).toEqual(["c", "a", "b"]);
  expect(first[0]).toEqual({
    outcome: "applied",
    clock_moved: false,
    memory: {
      ...given[0],
      embedding: [1, 2],
      tenant_id: tenant,
      agent_id: "alice",
      session_agent: null,
      session_id: null,
      embedding_model: null,
      scope: "tenant",
      written_by: "alice",
      content_hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      supersedes: null,
      superseded_by: null,
      version: 1,
      updated_at: expect.any(String) as string,
      expires_at: null,
      deleted_at: null,
      seq: expect.any(Number) as number,
    },
  });
  expect(first[0]?.memory).toEqual(await call(database, alice, "get_memory", { id: "c" }));
  expect(await push(alice, given)).toEqual(first);
  const told = await announcements(database, tenant);
  expect(told).toHaveLength(1);
  expect(told[0]?.payload).toMatchObject({ op: "added", memories: [{ id: "a", hlc: clock(5) }, {}, {}] });
  const [brief] = await push(alice, given.slice(0, 1), { brief: true });
  expect(Object.keys(brief?.memory ?? {})).not.toEqual(expect.arrayContaining(["content"]));
  expect(brief).toMatchObject({ outcome: "applied", memory: { id: "c", version: 1, deleted_at: null } });
});

test("what cannot be stored is refused by itself", async () => {
  const tenant = newTenant();
  await call(database, agent(tenant, "bob"), "store_memory", {
    memory: { id: "bobs", content: "x", scope: "agent" },
  });
  const bad: readonly (readonly [object, string])[] = [
    [{ id: "bobs", content: "mine now" }, "42501"],
    [{ id: "x", agent_id: "bob", content: "as bob" }, "42501"],
    [{ id: "y", content: "x", embedding: [0, 0] }, "22023"],
    [{ id: "y", content: "x", embedding: "[1,nan]" }, "22000"],
    [{ id: "y", content: "x", created_at: "yesterday-ish" }, "22007"],
    [{ id: "y", content: "x", expires_at: "infinity" }, "22023"],
    [{ id: "y", content: "x".repeat(1_048_577) }, "22023"],
    [{ id: "y", content: "x", scope: "world" }, "22023"],
    [{ id: "", content: "x" }, "22023"],
    [{ id: "y", content: "x", hlc: clock(0) }, "22023"],
    [{ id: "y", content: "x", hlc: clock(1.5) }, "22P02"],
    [{ id: "y", content: "x", hlc: clock(1, -1) }, "22023"],
    [{ id: "y", content: "x", hlc: clock(1, 2 ** 31) }, "22003"],
    [{ id: "y", content: "x", hlc: clock(1, 0, "") }, "22023"],
    [{ id: "y", content: "x", hlc: null }, "22023"],
    [{ id: "y", hlc: clock(1) }, "22023"],
  ];
  const good = (id: string) => ({ id, content: "x", hlc: clock(1) });
  const answers = await push(agent(tenant, "alice"), [
    good("first"),
    ...bad.map(([memory]) => ({ hlc: clock(1), ...memory })),
    good("last"),
  ]);
  expect(answers.map(({ outcome, code }) => code ?? outcome)).toEqual([
    "applied",
    ...bad.map(([, code]) => code),
    "applied",
  ]);
  expect(JSON.stringify(answers)).not.toContain(`"content":"x","agent_id":"bob"`);
  const [third] = (await announcements(database, tenant)).slice(-1);
  expect(third?.payload).toMatchObject({ op: "added", memories: [{ id: "first" }, { id: "last" }] });
  await expect(push(agent(tenant, "alice"), {} as never)).rejects.toMatchObject({ code: "22023" });
});

test("a clock that is far ahead gets the server's, wins once, and not for ever", async () => {
  const alice = agent(newTenant(), "alice");
  const ahead = { id: "k", content: "from the future", hlc: clock(Date.now() + 86_400_000) };
  const [first] = await push(alice, [ahead]);
  expect(first).toMatchObject({ outcome: "applied", clock_moved: true });
  const at = first?.memory?.hlc.ms ?? Infinity;
  expect(Math.abs(at - Date.now())).toBeLessThan(60_000);
  expect(await push(alice, [ahead])).toEqual([first]);
  const within = { id: "k", content: "later", hlc: clock(at + 50_000) };
  expect(await push(alice, [within])).toMatchObject([{ outcome: "applied", clock_moved: false }]);
  const [again] = await push(alice, [{ ...ahead, content: "again" }]);
  expect(again).toMatchObject({
    outcome: "applied",
    clock_moved: true,
    memory: { content: "again", hlc: { ms: at + 50_000, counter: 1 } },
  });
  // A write without a clock wins over what is stored, whatever that has.
  const stored = await call<Told>(database, alice, "store_memory", { memory: { id: "k", content: "plain" } });
  expect(stored).toMatchObject({ content: "plain", hlc: { ms: at + 50_000, counter: 2, writer: "alice" } });
  await push(alice, [{ id: "k", content: "full", hlc: clock(at + 50_000, 2_147_483_647, "z") }]);
  await call(database, alice, "delete_memory", { id: "k" });
  expect(await callRows(database, alice, "read_memories", { ids: ["k", "none"] })).toMatchObject([
    { id: "k", content: null, deleted_at: expect.any(String) as string, hlc: clock(at + 50_001, 0, "alice") },
  ]);
});

test("a tombstone is a write as any other: it wins or loses by its clock, and comes down without content", async () => {
  const tenant = newTenant();
  const alice = agent(tenant, "alice");
  const gone = (id: string, ms: number) => ({
    id,
    content: "secret",
    deleted_at: "2020-01-01",
    hlc: clock(ms),
  });
  await push(alice, [{ id: "k", content: "secret", embedding: [1], hlc: clock(5) }]);
  expect(outcomes(await push(alice, [gone("k", 4), gone("unknown", 4)]))).toEqual(["older", "applied"]);
  expect(outcomes(await push(alice, [gone("k", 6)]))).toEqual(["applied"]);
  const { rows } = await pull(agent(tenant, "bob"));
  expect(rows.map(({ id, content, deleted_at }) => [id, content, typeof deleted_at])).toEqual([
    ["unknown", null, "string"],
    ["k", null, "string"],
  ]);
  expect(JSON.stringify(rows)).not.toContain("secret");
  expect(outcomes(await push(alice, [{ id: "k", content: "late", hlc: clock(5) }]))).toEqual(["older"]);
  expect(await push(alice, [{ id: "k", content: "back", hlc: clock(7) }])).toMatchObject([
    { outcome: "applied", memory: { content: "back", deleted_at: null, version: 3 } },
  ]);
  expect((await announcements(database, tenant)).map(({ payload }) => payload["op"])).toEqual([
    "added",
    "deleted",
    "added",
  ]);
});

test("of two with one id in a push the later clock counts; superseding works in either order", async () => {
  const alice = agent(newTenant(), "alice");
  const twice = await push(alice, [
    { id: "k", content: "later", hlc: clock(2) },
    { id: "k", content: "earlier", hlc: clock(1) },
  ]);
  expect(outcomes(twice)).toEqual(["applied", "older"]);
  expect(twice[1]?.memory?.content).toBe("later");
  await push(alice, [{ id: "old", content: "x", hlc: clock(3) }]);
  await push(alice, [
    { id: "new", content: "x", supersedes: "old", hlc: clock(4) },
    { id: "newer", content: "x", supersedes: "not yet", hlc: clock(4) },
  ]);
  // The mark is no write: an edit from before it still counts, and stays marked.
  expect(await push(alice, [{ id: "old", content: "edited", hlc: clock(3, 1) }])).toMatchObject([
    { outcome: "applied", memory: { content: "edited", superseded_by: "new", hlc: clock(3, 1) } },
  ]);
  expect(await push(alice, [{ id: "not yet", content: "x", hlc: clock(1) }])).toMatchObject([
    { outcome: "applied", memory: { superseded_by: "newer" } },
  ]);
});

test("pages have every change once, in order, each with its latest state", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  for (const part of [0, 1, 2]) {
    await push(
      alice,
      Array.from({ length: 5 }, (_, at) => ({
        id: `m${part}${at}`,
        content: "x".repeat(1000),
        hlc: clock(1),
      })),
    );
  }
  await push(alice, [{ id: "m00", content: "changed", hlc: clock(2) }]);
  let edits = 2;
  for (const limits of [{ max_rows: 4 }, { max_bytes: 3_500 }, { max_bytes: 1 }, {}]) {
    const ids: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    for (let done = false; !done; pages += 1) {
      const page: Page = await pull(bob, cursor, limits);
      expect(page.reset).toBe(false);
      ids.push(...page.rows.map(({ id }) => id));
      ({ cursor, done } = page);
    }
    expect(ids).toHaveLength(15);
    expect([new Set(ids).size, ids.at(-1)]).toEqual([15, "m00"]);
    if ("max_rows" in limits) expect(pages).toBe(4);
    if (limits.max_bytes === 1) expect(pages).toBe(15);
    expect(await pull(bob, cursor)).toMatchObject({ rows: [], done: true, reset: false });
    await push(alice, [{ id: "m00", content: "again", hlc: clock((edits += 1)) }]);
    expect((await pull(bob, cursor)).rows).toMatchObject([{ id: "m00", content: "again" }]);
  }
});

test("a cursor that means nothing here is reset", async () => {
  const alice = agent(newTenant(), "alice");
  await push(alice, [{ id: "k", content: "x", hlc: clock(1) }]);
  const { cursor } = await pull(alice);
  const [epoch, tx] = cursor.split(":");
  const foreign = [
    "nonsense",
    "",
    `${"0".repeat(32)}:1:1`,
    `${epoch}:${Number(tx) + 1_000_000}:1`,
    `${epoch}:1`,
  ];
  for (const one of foreign) {
    expect(await pull(alice, one)).toMatchObject({ rows: [], done: false, reset: true });
  }
  expect(await pull(alice, cursor)).toMatchObject({ rows: [], done: true, reset: false });
  await expect(call(database, alice, "new_epoch")).rejects.toMatchObject({ code: "42501" });
  expect(await call(database, service, "new_epoch")).not.toBe(epoch);
  expect(await pull(alice, cursor)).toMatchObject({ reset: true });
  expect((await pull(alice)).rows).toHaveLength(1);
});

test("other tenants and what agents keep to themselves are neither pulled, read nor overwritten", async () => {
  const [tenant, elsewhere] = [newTenant(), newTenant()];
  const [alice, bob, stranger] = [agent(tenant, "alice"), agent(tenant, "bob"), agent(elsewhere, "alice")];
  const memories = (content: string) => [
    { id: "shared", content, hlc: clock(9) },
    { id: "own", content, scope: "agent", hlc: clock(9) },
  ];
  await push(alice, memories("ours"));
  expect(outcomes(await push(stranger, memories("theirs")))).toEqual(["applied", "applied"]);
  const seen = async (caller: Caller, args: object = {}) => [
    (await pull(caller, null, args)).rows.map(({ id, content }) => [id, content]),
    (await callRows<Told>(database, caller, "read_memories", { ids: ["own", "shared"], ...args }))
      .map(({ id, content }) => [id, content])
      .toSorted(([a], [b]) => String(a).localeCompare(String(b))),
  ];
  const [ours, theirs] = ["ours", "theirs"].map((content) => ["own", "shared"].map((id) => [id, content]));
  expect(await seen(alice)).toEqual([ours, ours]);
  expect(await seen(bob)).toEqual([[["shared", "ours"]], [["shared", "ours"]]]);
  expect(await seen(stranger)).toEqual([theirs, theirs]);
  expect(await seen(service, { as_tenant: tenant })).toEqual([ours, ours]);
  expect(await seen(service, { as_tenant: tenant, as_agent: "bob" })).toEqual(await seen(bob));
  expect(await push(bob, [{ id: "own", content: "bob's", hlc: clock(99) }])).toMatchObject([
    { outcome: "refused", code: "42501" },
  ]);
  const forged = { id: "x", content: "x", hlc: clock(1) };
  expect(
    await push(bob, [
      { ...forged, tenant_id: elsewhere },
      { ...forged, agent_id: "alice" },
    ]),
  ).toMatchObject([
    { outcome: "refused", code: "42501" },
    { outcome: "refused", code: "42501" },
  ]);
  await expect(push(service, [forged])).rejects.toMatchObject({ code: "42501" });
  expect(await push(service, [forged], { as_tenant: tenant })).toMatchObject([{ outcome: "refused" }]);
  expect(
    await push(service, [{ ...forged, agent_id: "carol", scope: "agent" }], { as_tenant: tenant }),
  ).toMatchObject([{ outcome: "applied", memory: { agent_id: "carol", written_by: "carol" } }]);
  for (const topic of (await announcements(database, tenant)).filter(({ payload }) =>
    JSON.stringify(payload).includes(`"own"`),
  )) {
    expect(topic.topic).toBe(`federation:${tenant}:agent:alice`);
  }
  for (const [name, args] of [
    ["push_memories", { memories: [] }],
    ["pull_memories", {}],
    ["pull_changes", { writer: "w" }],
    ["read_memories", { ids: ["own"] }],
    ["find_memories", { query: { text: "x" } }],
    ["delete_memories", { filter: { agent: "alice" } }],
    ["cleanup_tombstones", {}],
    ["keep_tombstones", { days: 1 }],
    ["new_epoch", {}],
    ["schedule_maintenance", {}],
  ] as const) {
    await expect(call(database, anon, name, args), name).rejects.toMatchObject({ code: "42501" });
  }
  // Nor by asking the helpers in SQL.
  expect(
    (await sql(database, bob, "select * from federation.hidden_since('0', 0, '9999999', 10)")).rows,
  ).toEqual([]);
  for (const table of ["hidden_memories", "pull_floors", "sync_settings"]) {
    await expect(sql(database, bob, `select * from federation.${table}`)).rejects.toMatchObject({
      code: "42501",
    });
  }
});

test("a memory that becomes its agent's own is taken from the others, once, and nothing of it is told since", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  await push(alice, [{ id: "k", content: "open", hlc: clock(1) }]);
  const { cursor } = await pull(bob);
  await push(alice, [{ id: "k", content: "closed", scope: "agent", hlc: clock(2) }]);
  const hidden = await pull(bob, cursor);
  expect(hidden.rows).toMatchObject([
    {
      id: "k",
      content: null,
      embedding: null,
      metadata: {},
      deleted_at: expect.any(String) as string,
      hlc: clock(2),
    },
  ]);
  expect((await announcements(database, tenant)).at(-1)).toBeDefined();
  const toAll = (await announcements(database, tenant)).filter(({ topic }) => topic.endsWith(":feed")).at(-1);
  expect(toAll?.payload).toMatchObject({
    op: "deleted",
    memories: [{ id: "k", content: null, deleted_at: expect.any(String) as string, hlc: clock(2) }],
  });
  await push(alice, [{ id: "k", content: "more", scope: "agent", hlc: clock(3) }]);
  expect((await pull(bob, hidden.cursor)).rows).toEqual([]);
  expect((await pull(alice, cursor)).rows).toMatchObject([{ id: "k", content: "more" }]);
  await push(alice, [{ id: "k", content: "open again", hlc: clock(4) }]);
  expect((await pull(bob, hidden.cursor)).rows).toMatchObject([{ content: "open again", deleted_at: null }]);
  expect((await pull(bob)).rows).toMatchObject([{ content: "open again" }]);
});
