import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startRest, type RestFixture } from "./test-support/rest-fixture.ts";

let stack: RestFixture;

beforeAll(async () => {
  stack = await startRest(`
    create extension if not exists vector schema extensions;
    create domain positive as int check (value > 0);
    create table kept (
      id bigint generated always as identity primary key,
      big bigint, exact numeric, rounded numeric(6, 2), real double precision,
      words text, short varchar(5), padded char(4), bytes bytea,
      at timestamptz, day date, span interval, unit uuid,
      tags text[], grid int[][], object jsonb, document json, point extensions.vector(3), free extensions.vector,
      bits bit(3), net inet, numbers int4range, above positive, yes boolean
    );
    create table filled (words text default 'default', exact numeric default 0.10, document json, big bigint);
    grant select, insert, update on kept, filled to service_role;
    create function echo(value jsonb) returns jsonb language sql immutable as 'select value';
    create function echo_text(value text) returns text language sql immutable as 'select value';
    create function echo_vector(value extensions.vector) returns extensions.vector language sql immutable as 'select value';
    create function whole(jsonb) returns jsonb language sql immutable as 'select $1';
    create function whole_text(text) returns text language sql immutable as 'select $1';
  `);
});
afterAll(() => stack.close());
beforeEach(async () => {
  await stack.database.exec("truncate kept restart identity");
});

/** As JSON text: a number here must not pass through JavaScript. */
async function stored(column: string, json: string): Promise<string> {
  const { status, body } = await stack.send({
    method: "POST",
    path: "/kept",
    query: `select=${column}`,
    headers: { prefer: "return=representation" },
    body: `{"${column}": ${json}}`,
  });
  expect({ status, body }).toMatchObject({ status: 201 });
  return body.replace(new RegExp(`^\\[\\{"${column}":([^]*)\\}\\]$`), "$1");
}

const unaltered: readonly [column: string, json: string][] = [
  ["big", "9223372036854775807"],
  ["big", "-9007199254740993"],
  ["exact", "0.1000000000000000055511151231257827"],
  ["exact", "123456789012345678901234567890.10"],
  ["real", "0.1"],
  ["words", '"{\\"looks\\": \\"like JSON\\"}"'],
  ["words", '"[1, 2, 3]"'],
  ["words", '"null"'],
  ["words", '"  spaces, \\"quotes\\", \\\\ and ü 漢 🙂"'],
  ["words", '""'],
  ["object", '"a scalar"'],
  ["object", "42"],
  ["object", "true"],
  ["object", '"{\\"text\\": 1}"'],
  ["object", '{"a": [1, 2, {"b": null}]}'],
  ["object", "12345678901234567890.1234567890"],
  ["document", '{"b":1,"a":  2,"b":3}'],
  ["tags", '["a","b,c","{d}","\\"e\\"",null]'],
  ["grid", "[[1,2],[3,4]]"],
  ["yes", "false"],
  ["bytes", '"\\\\x00ff10"'],
  ["unit", '"6f6e6f6e-0000-4000-8000-000000000001"'],
  ["day", '"2024-02-29"'],
  ["net", '"10.0.0.0/8"'],
  ["numbers", '"[1,5)"'],
  ["bits", '"101"'],
  ["padded", '"ab  "'],
  ["above", "7"],
];

describe("values come out as they went in", () => {
  test.each(unaltered)("%s %s", async (column, json) => {
    expect((await stored(column, json)).replaceAll(/\s*\n\s*/g, "")).toBe(json);
  });

  test("a vector, from an array or from text", async () => {
    expect(await stored("point", "[1, 2.5, -3]")).toBe('"[1,2.5,-3]"');
    expect(await stored("point", '"[1,2.5,-3]"')).toBe('"[1,2.5,-3]"');
    expect(await stored("free", JSON.stringify(Array.from({ length: 384 }, (_, at) => at / 8)))).toBe(
      JSON.stringify(`[${Array.from({ length: 384 }, (_, at) => at / 8).join(",")}]`),
    );
  });

  test("an instant, whatever the zone it was written in", async () => {
    const at = await stored("at", '"2024-05-01T12:00:00.123456+02:00"');
    expect(new Date(JSON.parse(at) as string).toISOString()).toBe("2024-05-01T10:00:00.123Z");
    expect(at).toContain(".123456");
  });

  test("what a column cannot hold is Postgres' error, not a cut value", async () => {
    const { error } = await stack.as("service_role").from("kept").insert({ short: "too long" });
    expect(error).toMatchObject({ code: "22001" });
    expect(
      (
        await stack
          .as("service_role")
          .from("kept")
          .insert({ point: [1, 2] })
      ).error,
    ).toMatchObject({ code: "22000" });
    expect((await stack.as("service_role").from("kept").insert({ above: 0 })).error).toMatchObject({
      code: "23514",
    });
    expect((await stack.as("service_role").from("kept").insert({ big: 1.5 })).error).toMatchObject({
      code: "22P02",
    });
  });

  test("a jsonb member null is SQL null, as in PostgREST", async () => {
    const { data } = await stack
      .as("service_role")
      .from("kept")
      .insert({ object: null })
      .select("object")
      .is("object", null);
    expect(data).toEqual([{ object: null }]);
  });

  test("a thousand rows at once, in order", async () => {
    const rows = Array.from({ length: 1000 }, (_, at) => ({ words: `row ${at}`, tags: [String(at)] }));
    const { data, error } = await stack.as("service_role").from("kept").insert(rows).select("words, tags");
    expect(error).toBeNull();
    expect(data).toEqual(rows);
  });

  test("missing=default keeps them as well, row by row", async () => {
    const { body } = await stack.send({
      method: "POST",
      path: "/filled",
      query: "columns=words,exact,document,big&select=words,exact,document,big",
      headers: { prefer: "return=representation, missing=default" },
      body: '[{"document": {"b":1,"a":2}, "big": 9223372036854775807}, {"words": null, "exact": 1.50}]',
    });
    expect(JSON.parse(body)).toHaveLength(2);
    expect(body).toContain(
      '{"words":"default","exact":0.10,"document":{"b":1,"a":2},"big":9223372036854775807}',
    );
    expect(body).toContain('{"words":null,"exact":1.50,"document":null,"big":null}');
  });
});

describe("arguments and results of functions", () => {
  test("a jsonb argument is what was sent, scalar or not", async () => {
    const client = stack.as("service_role");
    for (const value of [{ a: [1] }, "text", 5, true, "[1]", ["x"]]) {
      expect((await client.rpc("echo", { value })).data).toEqual(value);
    }
  });

  test("text that looks like JSON stays text", async () => {
    const client = stack.as("service_role");
    for (const value of ['{"a":1}', "[1]", "null", "true", "5", ""]) {
      expect((await client.rpc("echo_text", { value })).data).toBe(value);
      expect((await client.rpc("echo_text", { value }, { get: true })).data).toBe(value);
    }
  });

  test("a vector argument, from an array by POST and by GET", async () => {
    const client = stack.as("service_role");
    expect((await client.rpc("echo_vector", { value: [1, 2, 3] })).data).toBe("[1,2,3]");
    expect((await client.rpc("echo_vector", { value: "[1,2,3]" }, { get: true })).data).toBe("[1,2,3]");
  });

  test("a single parameter without a name takes the whole body", async () => {
    expect((await stack.as("service_role").rpc("whole", { a: 1, b: [2] })).data).toEqual({ a: 1, b: [2] });
    const { body } = await stack.send({
      method: "POST",
      path: "/rpc/whole_text",
      headers: { "content-type": "text/plain" },
      body: "any text at all",
    });
    expect(body).toBe('"any text at all"');
  });
});
