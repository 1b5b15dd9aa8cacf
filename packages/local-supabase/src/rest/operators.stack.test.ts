import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRest, type RestFixture } from "./test-support/rest-fixture.ts";

let stack: RestFixture;

beforeAll(async () => {
  stack = await startRest(`
    create type mood as enum ('sad', 'ok');
    create table things (
      id int primary key,
      name text,
      score numeric,
      flag boolean,
      tags text[],
      span int4range,
      data jsonb,
      words tsvector,
      feeling mood,
      "odd name, (really)" text,
      unit uuid
    );
    insert into things values
      (1, 'Alpha one', 1.5, true, '{a,b}', '[1,5)', '{"k": {"n": [10, 20]}, "s": "x"}', to_tsvector('english', 'fat cats ate rats'), 'ok', 'q', '00000000-0000-0000-0000-000000000001'),
      (2, 'beta, two', 2.5, false, '{b,c}', '[5,10)', '{"k": {"n": [30]}, "s": "y"}', to_tsvector('english', 'a thin dog'), 'sad', null, null),
      (3, 'Gamma "3"', null, null, '{}', '[20,30)', '[1, "two"]', null, null, null, null),
      (4, null, 100, true, null, null, null, null, null, 'a)b,c', null);
    grant select on things to service_role;
  `);
});
afterAll(() => stack.close());

const things = () => stack.as("service_role").from("things").select("id").order("id");
type Query = ReturnType<typeof things>;

async function ids(query: Query): Promise<readonly number[]> {
  const { data, error } = await query;
  expect(error).toBeNull();
  // Every query here selects `id` alone.
  return (data as { id: number }[]).map(({ id }) => id);
}

const cases: readonly [name: string, query: (things: Query) => Query, expected: readonly number[]][] = [
  ["eq", (q) => q.eq("name", "beta, two"), [2]],
  ["neq leaves out null", (q) => q.neq("name", "beta, two"), [1, 3]],
  ["gt", (q) => q.gt("score", 1.5), [2, 4]],
  ["gte", (q) => q.gte("score", 1.5), [1, 2, 4]],
  ["lt", (q) => q.lt("score", 2.5), [1]],
  ["lte", (q) => q.lte("score", 2.5), [1, 2]],
  ["like with percent", (q) => q.like("name", "%two"), [2]],
  ["like with asterisk", (q) => q.like("name", "*one"), [1]],
  ["like minds case", (q) => q.like("name", "alpha%"), []],
  ["ilike", (q) => q.ilike("name", "ALPHA%"), [1]],
  ["like all", (q) => q.likeAllOf("name", ["%a%", "%m%"]), [3]],
  ["like any", (q) => q.likeAnyOf("name", ["%one", "%3%"]), [1, 3]],
  ["ilike all", (q) => q.ilikeAllOf("name", ["%A%", "%TWO"]), [2]],
  ["ilike any", (q) => q.ilikeAnyOf("name", ["ALPHA%", "GAMMA%"]), [1, 3]],
  ["match", (q) => q.regexMatch("name", "^[A-Z]"), [1, 3]],
  ["imatch", (q) => q.regexIMatch("name", "^BETA"), [2]],
  ["is null", (q) => q.is("name", null), [4]],
  ["is true", (q) => q.is("flag", true), [1, 4]],
  ["is false", (q) => q.is("flag", false), [2]],
  ["is unknown", (q) => q.filter("flag", "is", "unknown"), [3]],
  ["is not null", (q) => q.filter("score", "is", "not_null"), [1, 2, 4]],
  ["is in capitals", (q) => q.filter("score", "is", "NULL"), [3]],
  ["isdistinct counts null as a value", (q) => q.isDistinct("score", 2.5), [1, 3, 4]],
  ["in", (q) => q.in("name", ["beta, two", "Alpha one"]), [1, 2]],
  ["in with a quote in it", (q) => q.filter("name", "in", '("Gamma \\"3\\"")'), [3]],
  ["in with numbers", (q) => q.in("id", [1, 3, 99]), [1, 3]],
  ["in nothing", (q) => q.in("id", []), []],
  ["not in", (q) => q.notIn("id", [1, 3]), [2, 4]],
  ["an enum", (q) => q.eq("feeling", "sad"), [2]],
  ["a uuid", (q) => q.eq("unit", "00000000-0000-0000-0000-000000000001"), [1]],
  ["contains an array", (q) => q.contains("tags", ["b"]), [1, 2]],
  ["contains JSON", (q) => q.contains("data", { s: "y" }), [2]],
  ["contains a range", (q) => q.contains("span", "[6,7)"), [2]],
  ["contained by an array", (q) => q.containedBy("tags", ["a", "b"]), [1, 3]],
  ["contained by a range", (q) => q.containedBy("span", "[0,10)"), [1, 2]],
  ["overlaps an array", (q) => q.overlaps("tags", ["c", "z"]), [2]],
  ["overlaps a range", (q) => q.overlaps("span", "[4,6)"), [1, 2]],
  ["right of a range", (q) => q.rangeGt("span", "[1,6)"), [3]],
  ["left of a range", (q) => q.rangeLt("span", "[11,12)"), [1, 2]],
  ["not left of a range", (q) => q.rangeGte("span", "[5,6)"), [2, 3]],
  ["not right of a range", (q) => q.rangeLte("span", "[5,12)"), [1, 2]],
  ["adjacent to a range", (q) => q.rangeAdjacent("span", "[10,20)"), [2, 3]],
  ["fts", (q) => q.textSearch("words", "cat & rat"), [1]],
  ["fts with a configuration", (q) => q.textSearch("words", "cats & fat", { config: "english" }), [1]],
  ["plain", (q) => q.textSearch("words", "fat cat", { type: "plain", config: "english" }), [1]],
  ["phrase", (q) => q.textSearch("words", "thin dog", { type: "phrase", config: "english" }), [2]],
  [
    "websearch",
    (q) => q.textSearch("words", "cats or dog", { type: "websearch", config: "english" }),
    [1, 2],
  ],
  ["fts in a JSON path", (q) => q.textSearch("data->>s", "x", { config: "simple" }), [1]],
  ["fts in text", (q) => q.textSearch("name", "alpha", { config: "simple" }), [1]],
  ["not", (q) => q.not("id", "in", "(1,2)"), [3, 4]],
  ["not eq", (q) => q.not("flag", "eq", true), [2]],
  ["match of several", (q) => q.match({ flag: true, id: 4 }), [4]],
  ["eq any", (q) => q.filter("id", "eq(any)", "{1,4}"), [1, 4]],
  ["gt all", (q) => q.filter("id", "gt(all)", "{1,2}"), [3, 4]],
  ["or", (q) => q.or("id.eq.1,name.is.null"), [1, 4]],
  ["or with and", (q) => q.or("id.eq.2,and(flag.is.true,score.gt.50)"), [2, 4]],
  ["or with not", (q) => q.or("id.eq.1,not.and(id.gte.1,id.lte.3)"), [1, 4]],
  ["or with quotes and lists", (q) => q.or('name.eq."beta, two",id.in.(3,4),tags.cs.{a,b}'), [1, 2, 3, 4]],
  ["or twice is and", (q) => q.or("id.eq.1,id.eq.2").or("id.eq.2,id.eq.3"), [2]],
  ["a JSON path", (q) => q.eq("data->>s", "x"), [1]],
  ["a JSON path to a number", (q) => q.gt("data->k->n->0", 10), [2]],
  ["a JSON index as text", (q) => q.eq("data->>1", "two"), [3]],
  ["a JSON index from the end", (q) => q.eq("data->k->n->>-1", "20"), [1]],
  ["a path into an array column", (q) => q.eq("tags->>0", "b"), [2]],
  ["a quoted name", (q) => q.eq('"odd name, (really)"', "a)b,c"), [4]],
  ["a quoted name in or", (q) => q.or('"odd name, (really)".eq."a)b,c"'), [4]],
];

describe("filters", () => {
  test.each(cases)("%s", async (_, filtered, expected) => {
    expect(await ids(filtered(things()))).toEqual(expected);
  });
});

describe("order", () => {
  const ordered = async (order: string): Promise<readonly number[]> => {
    const { body } = await stack.send({ path: "/things", query: `select=id&order=${order}` });
    return (JSON.parse(body) as { id: number }[]).map(({ id }) => id);
  };

  test("by several columns, with nulls where asked, by JSON paths", async () => {
    expect(await ordered("flag.desc.nullslast,id.desc")).toEqual([4, 1, 2, 3]);
    expect(await ordered("score.nullsfirst")).toEqual([3, 1, 2, 4]);
    expect(await ordered("score.desc")).toEqual([3, 4, 2, 1]);
    expect(await ordered("data->>s.desc.nullslast,id")).toEqual([2, 1, 3, 4]);
    expect(await ordered("data->k->n->0.asc.nullslast,id")).toEqual([1, 2, 3, 4]);
  });
});

describe("select", () => {
  const selected = async (select: string): Promise<unknown> => {
    const query = `select=${encodeURIComponent(select)}&id=eq.1`;
    return JSON.parse((await stack.send({ path: "/things", query })).body);
  };

  test("renames, casts, paths and quoted names", async () => {
    expect(await selected("number:id::text,score::int")).toEqual([{ number: "1", score: 2 }]);
    expect(await selected("data->k->n->0,data->k,first:data->k->n->>0")).toEqual([
      { n: 10, k: { n: [10, 20] }, first: "10" },
    ]);
    expect(await selected('"odd name, (really)","a.b":id')).toEqual([
      { "odd name, (really)": "q", "a.b": 1 },
    ]);
    expect(await selected("tags->0,data->s::text")).toEqual([{ tags: "a", s: '"x"' }]);
  });

  test("whitespace outside quotes says nothing", async () => {
    const { data } = await stack
      .as("service_role")
      .from("things")
      .select(" id ,\n  label : name ")
      .eq("id", 1);
    expect(data).toEqual([{ id: 1, label: "Alpha one" }]);
  });

  test("an unknown column is Postgres' error, 400", async () => {
    const { error, status } = await stack.as("service_role").from("things").select("nope");
    expect(status).toBe(400);
    expect(error).toMatchObject({ code: "42703", message: "column things.nope does not exist" });
  });

  test("a value of the wrong type is Postgres' error, 400", async () => {
    const { error, status } = await stack.as("service_role").from("things").select().eq("id", "x");
    expect({ code: error?.code, status }).toEqual({ code: "22P02", status: 400 });
  });
});
