import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nearestName } from "./nearest-name.ts";
import { deriveRelationships } from "./derive-relationships.ts";
import { isToOne, type ForeignKey } from "./relationship.ts";
import { resolveViewColumns, topTargets } from "./view-columns.ts";

const name = (table: string): { readonly schema: string; readonly name: string } => ({
  schema: "public",
  name: table,
});
const key = (from: string, to: string, columns: readonly string[], unique = false): ForeignKey => ({
  constraint: `${from}_${columns.join("_")}_fkey`,
  table: name(from),
  target: name(to),
  columns: columns.map((column) => ({ from: column, to: "id" })),
  unique,
});
const derive = (
  foreignKeys: readonly ForeignKey[],
  primaryKeys: Readonly<Record<string, readonly string[]>> = {},
) =>
  deriveRelationships({
    foreignKeys,
    viewColumns: [],
    primaryKeys: new Map(
      Object.entries(primaryKeys).map(([table, columns]) => [JSON.stringify(["public", table]), columns]),
    ),
    computed: [],
  });

describe("relationships", () => {
  test("a foreign key goes both ways, and to one where it is unique", () => {
    const of = (unique: boolean) =>
      derive([key("films", "directors", ["director_id"], unique)]).map(({ kind }) => kind);
    expect(of(false)).toEqual(["many-to-one", "one-to-many"]);
    expect(of(true)).toEqual(["one-to-one", "one-to-one"]);
  });

  test("a table whose primary key holds two foreign keys joins their targets", () => {
    const keys = [key("roles", "films", ["film_id"]), key("roles", "actors", ["actor_id"])];
    const across = (columns: readonly string[]) =>
      derive(keys, { roles: columns }).filter(({ kind }) => kind === "many-to-many");
    expect(across(["film_id", "actor_id"]).map(({ origin, target }) => [origin.name, target.name])).toEqual([
      ["films", "actors"],
      ["actors", "films"],
    ]);
    expect(across(["film_id"])).toEqual([]);
  });

  test("every relationship to one has one back, or many", () => {
    const tables = fc.constantFrom("a", "b", "c");
    fc.assert(
      fc.property(fc.array(fc.tuple(tables, tables, fc.boolean()), { maxLength: 6 }), (edges) => {
        const found = derive(edges.map(([from, to, unique], at) => key(from, to, [`c${at}`], unique)));
        const direct = found.filter((r) => r.kind !== "many-to-many" && r.kind !== "computed");
        expect(direct).toHaveLength(edges.length * 2);
        for (const relationship of direct) {
          const back = direct.find(
            (r) =>
              r !== relationship &&
              r.constraint === relationship.constraint &&
              r.target.name === relationship.origin.name,
          );
          expect(back === undefined ? undefined : isToOne(back) || isToOne(relationship)).toBe(true);
        }
      }),
    );
  });
});

describe("columns of views", () => {
  // As Postgres 15 prints `select id, upper(title) from films where exists (select 1 from …)`, shortened.
  const rule = `({QUERY :commandType 1 :rtable ({RTE :alias <> :subquery {QUERY :targetList ({TARGETENTRY :expr {VAR :varno 1} :resno 1 :resname x :ressortgroupref 0 :resorigtbl 99 :resorigcol 9 :resjunk false})}}) :targetList ({TARGETENTRY :expr {VAR :varno 1} :resno 1 :resname odd\\ \\}name :ressortgroupref 0 :resorigtbl 16 :resorigcol 2 :resjunk false} {TARGETENTRY :expr {FUNCEXPR :args ({VAR :varno 1})} :resno 2 :resname upper :ressortgroupref 0 :resorigtbl 0 :resorigcol 0 :resjunk false}) :returningList <>})`;

  test("only the outermost entries that are columns count", () => {
    expect(topTargets(rule)).toEqual([{ position: "1", table: "16", column: "2" }]);
  });

  test("a view of a view is followed", () => {
    const entry = (table: string): string =>
      `({QUERY :targetList ({TARGETENTRY :expr {VAR} :resno 1 :resname a :ressortgroupref 0 :resorigtbl ${table} :resorigcol 1 :resjunk false})})`;
    const columns = resolveViewColumns(
      [
        { ...name("upper"), columns: { "1": "b" }, rule: entry("2") },
        { ...name("lower"), columns: { "1": "a" }, rule: entry("1") },
      ],
      [
        { ...name("films"), id: "1", columns: { "1": "id" } },
        { ...name("lower"), id: "2", columns: { "1": "a" } },
      ],
    );
    const shown = columns.map(({ view, column, source, sourceColumn }) => [
      view.name,
      column,
      source.name,
      sourceColumn,
    ]);
    expect(shown).toEqual([
      ["upper", "b", "lower", "a"],
      ["upper", "b", "films", "id"],
      ["lower", "a", "films", "id"],
    ]);
  });
});

describe("the nearest name", () => {
  test("is the most alike, if it is alike enough", () => {
    expect(nearestName("todo", ["people", "todos", "todos_archive"], 0.75)).toBe("todos");
    expect(nearestName("TODOS", ["todos"], 0.75)).toBe("todos");
    expect(nearestName("xyz", ["people", "todos"], 0.75)).toBeUndefined();
    expect(nearestName("x", [], 0)).toBeUndefined();
  });

  test("is the name itself where it is among them", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), (names) => {
        const [first = ""] = names;
        expect(nearestName(first, names, 1)?.toLowerCase()).toBe(first.toLowerCase());
      }),
    );
  });
});
