import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RestError } from "../errors/rest-error.ts";
import type { Field } from "./field.ts";
import { parseCondition, type Condition } from "./filter.ts";
import { parseLogic, type Logic } from "./logic.ts";
import { parseOrder, type OrderTerm } from "./order.ts";
import { parseQueryString } from "./query-string.ts";
import { parseSelect, type SelectItem } from "./select.ts";

function failure(run: () => unknown): RestError {
  try {
    run();
  } catch (error) {
    if (error instanceof RestError) return error;
    throw error;
  }
  throw new Error("expected a RestError");
}

describe("what cannot be read is said where it stands, as PostgREST says it", () => {
  // Message and details as in PostgREST's own parser examples.
  test.each([
    [
      "noop.0",
      'failed to parse filter (noop.0)" (line 1, column 1)',
      'expecting "not" or operator (eq, gt, ...)',
    ],
    [
      "val",
      'failed to parse filter (val)" (line 1, column 1)',
      'unexpected "v" expecting "not" or operator (eq, gt, ...)',
    ],
    ["is.nothing", "(line 1, column 4)", "expecting isVal: (null, not_null, true, false, unknown)"],
    ["in.1,2", "(line 1, column 4)", 'unexpected "1" expecting "("'],
  ])("filter %s", (text, message, details) => {
    const error = failure(() => parseCondition(text));
    expect(error).toMatchObject({ status: 400, code: "PGRST100" });
    expect(error.message).toContain(message);
    expect(error.details).toContain(details);
  });

  test.each([
    ["name!hint", "(line 1, column 10)"],
    ["name::", "(line 1, column 7)"],
    ["id,clients(name[])", "(line 1, column 16)"],
    ["clients(id", "(line 1, column 11)"],
    ["id,", "(line 1, column 4)"],
    ["rel->x(*)", "(line 1, column 7)"],
  ])("select %s", (text, message) => {
    const error = failure(() => parseSelect(text));
    expect(error.message).toBe(`"failed to parse select parameter (${text})" ${message}`);
  });

  test.each([
    ["id.ac", 'unexpected "c" expecting "asc", "desc", "nullsfirst" or "nullslast"', "(line 1, column 4)"],
    ["id.descc", "unexpected 'c' expecting", "(line 1, column 8)"],
    ["clients(name,id)", 'unexpected "," expecting', "(line 1, column 13)"],
  ])("order %s", (text, details, place) => {
    const error = failure(() => parseOrder(text));
    expect(error.message).toContain(place);
    expect(error.details).toContain(details);
  });

  test.each(["()", "id.eq.1", "(id.eq.1", "(id.eq.1))", "(xor(id.eq.1))", "(id)"])("or=%s", (text) => {
    expect(failure(() => parseLogic("or", false, text))).toMatchObject({ status: 400, code: "PGRST100" });
  });

  test("logic deeper than anybody writes", () => {
    const deep = `${"(and".repeat(40)}(id.eq.1)${")".repeat(40)}`;
    expect(failure(() => parseLogic("and", false, deep))).toMatchObject({ code: "PGRST100" });
  });

  test("a JSON path longer than any document is deep", () => {
    expect(failure(() => parseSelect(`a${"->b".repeat(101)}`))).toMatchObject({ code: "PGRST100" });
    expect(parseSelect(`a${"->b".repeat(100)}`)).toHaveLength(1);
  });

  test("a zero byte", () => {
    for (const query of ["id=eq.%00", "a%00b=eq.1", "select=%00"]) {
      expect(failure(() => parseQueryString(query, { args: false }))).toMatchObject({ code: "PGRST100" });
    }
  });
});

describe("the query string as a whole", () => {
  test("each parameter speaks of the relation at the end of its path", () => {
    const query = parseQueryString(
      "select=id,clients(name)&clients.name=eq.x&clients.order=name&clients.limit=2&clients.offset=1&not.or=(a.eq.1,b.eq.2)&clients.not.and=(c.is.null)&order=id.desc&limit=5",
      { args: false },
    );
    expect(query.filters).toMatchObject([{ path: ["clients"], value: { field: { name: "name" } } }]);
    expect(query.orders.map(({ path }) => path)).toEqual([["clients"], []]);
    expect(query.windows).toEqual([
      { path: ["clients"], value: { limit: 2, offset: 1 } },
      { path: [], value: { limit: 5, offset: 0 } },
    ]);
    expect(query.logic).toMatchObject([
      { path: [], value: { kind: "or", negated: true } },
      { path: ["clients"], value: { kind: "and", negated: true } },
    ]);
  });

  test("of a function, what is no condition is an argument", () => {
    const query = parseQueryString("a=5&b=eq.5&c=not.so&d=in.(x&select=id", { args: true });
    expect(query.args).toEqual([
      ["a", "5"],
      ["c", "not.so"],
      ["d", "in.(x"],
    ]);
    expect(query.filters).toMatchObject([{ value: { field: { name: "b" } } }]);
  });

  test("columns and on_conflict are lists of names, quoted where they must be", () => {
    const query = parseQueryString('columns="a","b c",d&on_conflict=x,"y,z"', { args: false });
    expect(query.columns).toEqual(["a", "b c", "d"]);
    expect(query.onConflict).toEqual(["x", "y,z"]);
  });

  test("no text makes it do anything but answer or refuse", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.constantFrom("select", "order", "or", "id", "columns", "a.limit"),
        (text, name) => {
          const query = new URLSearchParams({ [name]: text }).toString();
          try {
            parseQueryString(query, { args: false });
          } catch (error) {
            expect(error).toBeInstanceOf(RestError);
          }
        },
      ),
    );
  });
});

// Trees written as text the way clients write it, and read again.

const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
const anyName = fc.string({ minLength: 1 }).filter((name) => !name.includes("\0"));
const anyStep: fc.Arbitrary<Field["path"][number]> = fc.oneof(
  fc.record({
    arrow: fc.constantFrom("->" as const, "->>" as const),
    by: fc.constant("index" as const),
    key: fc.integer().map(String),
  }),
  fc.record({
    arrow: fc.constantFrom("->" as const, "->>" as const),
    by: fc.constant("key" as const),
    key: anyName,
  }),
);
const anyField: fc.Arbitrary<Field> = fc.record({ name: anyName, path: fc.array(anyStep, { maxLength: 3 }) });
const writeField = ({ name, path }: Field): string =>
  quote(name) + path.map(({ arrow, by, key }) => arrow + (by === "index" ? key : quote(key))).join("");

const anyCondition: fc.Arbitrary<Condition> = fc.record({
  negated: fc.boolean(),
  operation: fc.oneof(
    fc.record({
      kind: fc.constant("simple" as const),
      operator: fc.constantFrom("neq" as const, "cs" as const, "adj" as const),
      value: fc.string(),
    }),
    fc.record({
      kind: fc.constant("quantified" as const),
      operator: fc.constantFrom("eq" as const, "gte" as const, "ilike" as const),
      quantifier: fc.constantFrom("any" as const, "all" as const, undefined),
      value: fc.string(),
    }),
    fc.record({ kind: fc.constant("in" as const), values: fc.array(fc.string(), { minLength: 1 }) }),
    fc.record({
      kind: fc.constant("is" as const),
      value: fc.constantFrom("null" as const, "not_null" as const, "true" as const),
    }),
    fc.record({ kind: fc.constant("isdistinct" as const), value: fc.string() }),
    fc.record({
      kind: fc.constant("search" as const),
      operator: fc.constantFrom("fts" as const, "wfts" as const),
      config: fc.constantFrom("english", undefined),
      value: fc.string(),
    }),
  ),
});

/** `value` writes a single value: as it is at the end of a parameter, quoted inside a list of conditions. */
function writeCondition({ negated, operation }: Condition, value: (text: string) => string): string {
  return (negated ? "not." : "") + writeOperation(operation, value);
}

function writeOperation(operation: Condition["operation"], value: (text: string) => string): string {
  switch (operation.kind) {
    case "simple":
      return `${operation.operator}.${value(operation.value)}`;
    case "quantified":
      return `${operation.operator}${operation.quantifier === undefined ? "" : `(${operation.quantifier})`}.${value(operation.value)}`;
    case "in":
      return `in.(${operation.values.map(quote).join(",")})`;
    case "is":
      return `is.${operation.value}`;
    case "isdistinct":
      return `isdistinct.${value(operation.value)}`;
    case "search":
      return `${operation.operator}${operation.config === undefined ? "" : `(${operation.config})`}.${value(operation.value)}`;
  }
}

const { logic: anyLogic } = fc.letrec<{ logic: Logic; group: Logic; filter: Logic }>((tie) => ({
  logic: fc.oneof({ depthSize: "small" }, tie("filter"), tie("group")),
  filter: fc.record({
    kind: fc.constant("filter" as const),
    filter: fc.tuple(anyField, anyCondition).map(([field, condition]) => ({ field, ...condition })),
  }),
  group: fc.record({
    kind: fc.constantFrom("and" as const, "or" as const),
    negated: fc.boolean(),
    terms: fc.array(tie("logic"), { minLength: 1, maxLength: 3 }),
  }),
}));

function writeLogic(logic: Logic): string {
  if (logic.kind === "filter")
    return `${writeField(logic.filter.field)}.${writeCondition(logic.filter, quote)}`;
  return `${logic.negated ? "not." : ""}${logic.kind}(${logic.terms.map(writeLogic).join(",")})`;
}

const { item: anyItem } = fc.letrec<{ item: SelectItem; field: SelectItem; relation: SelectItem }>((tie) => ({
  item: fc.oneof({ depthSize: "small" }, tie("field"), tie("relation")),
  field: fc.record({
    kind: fc.constant("field" as const),
    field: anyField.filter(({ name }) => name !== "count"),
    alias: fc.option(anyName, { nil: undefined }),
    cast: fc.constantFrom("text", "double precision", undefined),
  }),
  relation: fc.record({
    kind: fc.constant("relation" as const),
    name: anyName.filter((name) => name !== "count"),
    alias: fc.option(anyName, { nil: undefined }),
    hint: fc.option(
      anyName.filter((name) => name !== "inner" && name !== "left"),
      { nil: undefined },
    ),
    join: fc.constantFrom("inner" as const, "left" as const, undefined),
    select: fc.array(tie("item"), { maxLength: 3 }),
  }),
}));

function writeItem(item: SelectItem): string {
  const alias = item.alias === undefined ? "" : `${quote(item.alias)}:`;
  if (item.kind === "field")
    return `${alias}${writeField(item.field)}${item.cast === undefined ? "" : `::${item.cast}`}`;
  const hint = item.hint === undefined ? "" : `!${quote(item.hint)}`;
  const join = item.join === undefined ? "" : `!${item.join}`;
  return `${alias}${quote(item.name)}${hint}${join}(${item.select.map(writeItem).join(",")})`;
}

const anyOrder: fc.Arbitrary<OrderTerm> = fc.record({
  relation: fc.option(anyName, { nil: undefined }),
  field: anyField,
  direction: fc.constantFrom("asc" as const, "desc" as const, undefined),
  nulls: fc.constantFrom("first" as const, "last" as const, undefined),
});

function writeOrder({ relation, field, direction, nulls }: OrderTerm): string {
  const column = relation === undefined ? writeField(field) : `${quote(relation)}(${writeField(field)})`;
  return `${column}${direction === undefined ? "" : `.${direction}`}${nulls === undefined ? "" : `.nulls${nulls}`}`;
}

describe("what was written is what is read", () => {
  test("conditions", () => {
    fc.assert(
      fc.property(anyCondition, (condition) => {
        expect(parseCondition(writeCondition(condition, (text) => text))).toEqual(condition);
      }),
    );
  });

  test("logic", () => {
    fc.assert(
      fc.property(fc.array(anyLogic, { minLength: 1, maxLength: 3 }), (terms) => {
        const text = `(${terms.map(writeLogic).join(",")})`;
        expect(parseLogic("or", true, text)).toEqual({ kind: "or", negated: true, terms });
      }),
    );
  });

  test("select", () => {
    fc.assert(
      fc.property(fc.array(anyItem, { maxLength: 4 }), (items) => {
        expect(parseSelect(items.map(writeItem).join(","))).toEqual(items);
      }),
    );
  });

  test("order", () => {
    fc.assert(
      fc.property(fc.array(anyOrder, { minLength: 1, maxLength: 3 }), (terms) => {
        expect(parseOrder(terms.map(writeOrder).join(","))).toEqual(terms);
      }),
    );
  });
});
