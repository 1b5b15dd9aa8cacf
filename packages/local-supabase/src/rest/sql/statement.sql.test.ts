import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RestError } from "../errors/rest-error.ts";
import { planRequest } from "../plan/plan.ts";
import { parseRequest } from "../request/request.ts";
import type { RestRequestText } from "../rest.ts";
import { buildSchemaCache, type IntrospectedSchema } from "../schema/load.ts";
import { render } from "./sql.ts";
import { statementSql } from "./statement.sql.ts";

const column = (name: string, type = "text"): IntrospectedSchema["tables"][number]["columns"][number] => ({
  name,
  type,
  baseType: type,
  defaultSql: null,
});
const table = (name: string, columns: readonly string[]): IntrospectedSchema["tables"][number] => ({
  schema: "public",
  name,
  isView: false,
  columns: columns.map((c) => column(c)),
  primaryKey: ["id"],
});
const schema: IntrospectedSchema = {
  tables: [table("films", ["id", "title", "director_id"]), table("directors", ["id", "name"])],
  views: [],
  numbers: [],
  foreignKeys: [
    {
      constraint: "films_director_id_fkey",
      table: { schema: "public", name: "films" },
      target: { schema: "public", name: "directors" },
      columns: [{ from: "director_id", to: "id" }],
      unique: false,
    },
  ],
  functions: [],
  computed: [],
  roles: [],
};

function statement(request: Partial<RestRequestText>): {
  readonly text: string;
  readonly params: readonly unknown[];
} {
  const parsed = parseRequest(
    {
      method: "GET",
      path: "/films",
      query: "",
      headers: {},
      body: "",
      credential: { role: "anon", claims: {}, expiresAtSeconds: undefined },
      ...request,
    },
    { schemas: ["public"], debug: true },
  );
  if (parsed.kind === "describe") throw new Error("expected a statement");
  const options = {
    representation: parsed.representation,
    preferences: parsed.preferences,
    headersOnly: false,
    maxRows: 9,
  };
  return render(statementSql(planRequest(parsed, buildSchemaCache(schema), 9), options));
}

describe("what a client sends is a parameter or a quoted identifier", () => {
  // The marker stands in every text of the request. What is left of the statement without its quoted identifiers must
  // not have it, whatever stands around it.
  const marker = "MARKER";
  const anyText = fc
    .tuple(fc.string(), fc.string())
    .map(([before, after]) => `${before}${marker}${after}`)
    .filter((text) => !text.includes("\0"));
  const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;

  /** Without quoted identifiers, and without the words of a cast: a type's name cannot be quoted. */
  const outside = (text: string): string =>
    text.replaceAll(/"(?:[^"]|"")*"/g, "").replaceAll(/ as [\p{L}_][\p{L}0-9_ ]*\)/gu, "");

  function check(request: Partial<RestRequestText>): void {
    let made: ReturnType<typeof statement>;
    try {
      made = statement(request);
    } catch (error) {
      expect(error).toBeInstanceOf(RestError);
      return;
    }
    expect(outside(made.text)).not.toContain(marker);
    expect(made.text).not.toContain("\0");
  }

  test("in filters, order and select", () => {
    fc.assert(
      fc.property(anyText, anyText, anyText, (name, key, value) => {
        const query = new URLSearchParams([
          ["select", `${quote(name)}:${quote(key)}->${quote(name)},d:directors!inner(${quote(key)})`],
          [quote(name), `eq.${value}`],
          [`d.${quote(key)}->>${quote(name)}`, `not.like(any).${value}`],
          [
            "or",
            `(${quote(name)}.in.(${quote(value)}),${quote(key)}.fts(${value.length % 2 === 0 ? "english" : "x"}).${quote(value)})`,
          ],
          ["order", `${quote(name)}.desc,d(${quote(key)}->${quote(name)})`],
        ]);
        check({ query: query.toString() });
        const made = statement({ query: query.toString() });
        expect(made.params).toContain(value);
      }),
    );
  });

  test("in casts and operators, which are refused or made of words", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        check({ query: new URLSearchParams({ select: `id::${text}` }).toString() });
        check({ query: new URLSearchParams({ id: `${text}.1` }).toString() });
        check({ query: new URLSearchParams({ limit: text, offset: text }).toString() });
      }),
    );
  });

  test("in bodies, columns and conflict targets", () => {
    fc.assert(
      fc.property(anyText, anyText, (name, value) => {
        const query = new URLSearchParams({ on_conflict: quote(name), select: quote(name) });
        const headers = { prefer: "return=representation, resolution=merge-duplicates, missing=default" };
        const body = JSON.stringify([{ title: value }]);
        check({ method: "POST", query: query.toString(), headers, body });
        check({
          method: "PATCH",
          query: new URLSearchParams({ [quote(name)]: `eq.${value}` }).toString(),
          body: JSON.stringify({ title: value }),
        });
        check({ method: "POST", query: new URLSearchParams({ columns: quote(name) }).toString(), body });
      }),
    );
  });
});

test("a cast is words, never a quoted string or a parameter", () => {
  for (const cast of ["$$", "int$$", "$1", "1"]) {
    expect(statement({ query: new URLSearchParams({ select: `id::${cast}` }).toString() }).text).toContain(
      ` as "${cast}")`,
    );
  }
  expect(statement({ query: "select=id::double precision" }).text).toContain(" as double precision)");
});

test("one table embedded in itself many times has a name for each", () => {
  const { text } = statement({ query: "select=directors(films(directors(id),directors(id)))&limit=1" });
  const aliases = [...text.matchAll(/ as "([a-z_0-9]+)"(?! from)/g)].map(([, alias]) => alias);
  const tables = aliases.filter((alias) => /^(?:films|directors)_\d/.test(alias ?? ""));
  expect(new Set(tables).size).toBe(tables.length);
});
