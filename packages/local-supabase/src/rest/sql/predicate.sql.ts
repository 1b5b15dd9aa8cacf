import type { ColumnReference, Predicate } from "../plan/read-plan.ts";
import type {
  IsValue,
  Operation,
  QuantifiedOperator,
  SearchOperator,
  SimpleOperator,
} from "../request/filter.ts";
import { identifier, joined, nothing, sql, trusted, value, type Sql } from "./sql.ts";

const simple: Readonly<Record<SimpleOperator, Sql>> = {
  neq: sql`<>`,
  cs: sql`@>`,
  cd: sql`<@`,
  ov: sql`&&`,
  sl: sql`<<`,
  sr: sql`>>`,
  nxr: sql`&<`,
  nxl: sql`&>`,
  adj: sql`-|-`,
};

const quantified: Readonly<Record<QuantifiedOperator, Sql>> = {
  eq: sql`=`,
  gte: sql`>=`,
  gt: sql`>`,
  lte: sql`<=`,
  lt: sql`<`,
  like: sql`like`,
  ilike: sql`ilike`,
  match: sql`~`,
  imatch: sql`~*`,
};

const search: Readonly<Record<SearchOperator, Sql>> = {
  fts: sql`to_tsquery`,
  plfts: sql`plainto_tsquery`,
  phfts: sql`phraseto_tsquery`,
  wfts: sql`websearch_to_tsquery`,
};

const is: Readonly<Record<IsValue, Sql>> = {
  null: sql`is null`,
  not_null: sql`is not null`,
  true: sql`is true`,
  false: sql`is false`,
  unknown: sql`is unknown`,
};

/** `embedFound` writes whether an embedded relation has rows; a list of rows and a count need that differently. */
export function predicateSql(predicate: Predicate, embedFound: (embed: string) => Sql): Sql {
  switch (predicate.kind) {
    case "embed":
      return predicate.found ? embedFound(predicate.embed) : sql`not ${embedFound(predicate.embed)}`;
    case "column": {
      const test = operationSql(predicate.operation, predicate.column, predicate.asWords);
      return predicate.negated ? sql`not (${test})` : test;
    }
    case "and":
    case "or": {
      const terms = predicate.terms.map((term) => predicateSql(term, embedFound));
      return sql`${predicate.negated ? sql`not ` : nothing}(${joined(terms, predicate.kind === "and" ? " and " : " or ")})`;
    }
  }
}

function operationSql(operation: Operation, reference: ColumnReference, asWords: boolean): Sql {
  const column = columnSql(reference);
  switch (operation.kind) {
    case "simple":
      return sql`${column} ${simple[operation.operator]} ${value(operation.value)}`;
    case "quantified": {
      const { operator, quantifier } = operation;
      // An asterisk stands for the percent sign, which URLs must encode.
      const pattern = operator === "like" || operator === "ilike";
      const operand = value(pattern ? operation.value.replaceAll("*", "%") : operation.value);
      if (quantifier === undefined) return sql`${column} ${quantified[operator]} ${operand}`;
      return sql`${column} ${quantified[operator]} ${quantifier === "any" ? sql`any` : sql`all`} (${operand})`;
    }
    case "in":
      return sql`${column} = any (${value(arrayLiteral(operation.values))})`;
    case "is":
      return sql`${column} ${is[operation.value]}`;
    case "isdistinct":
      return sql`${column} is distinct from ${value(operation.value)}`;
    case "search": {
      const config = operation.config === undefined ? nothing : sql`${value(operation.config)}::regconfig, `;
      const words = asWords ? sql`to_tsvector(${config}${column})` : column;
      return sql`${words} @@ ${search[operation.operator]}(${config}${value(operation.value)})`;
    }
  }
}

/** One empty value is no value: `in.()`. */
function arrayLiteral(values: readonly string[]): string {
  if (values.length === 1 && values[0] === "") return "{}";
  const elements = values.map((element) => `"${element.replaceAll(/["\\]/g, "\\$&")}"`);
  return `{${elements.join(",")}}`;
}

/** `"todos"."data"->'key'`; the whole row's columns for `*`. */
export function columnSql({ alias, name, path, asJson }: ColumnReference): Sql {
  if (name === "*" && path.length === 0) return sql`${identifier(alias)}.*`;
  const column = identifier(alias, name);
  const steps = path.map(({ arrow, by, key }) => {
    const operator = arrow === "->" ? sql`->` : sql`->>`;
    return by === "index" ? sql`${operator} ${value(key)}::int` : sql`${operator} ${value(key)}::text`;
  });
  if (steps.length === 0) return column;
  return sql`(${asJson ? sql`to_jsonb(${column})` : column} ${joined(steps, " ")})`;
}

/** A type's name as a client wrote it: words only, so that it can stand in the text. */
export function castTo(type: string, expression: Sql): Sql {
  if (!/^[\p{L}_][\p{L}0-9_]*(?: [\p{L}_][\p{L}0-9_]*)*$/u.test(type)) {
    return sql`cast(${expression} as ${identifier(type)})`;
  }
  return sql`cast(${expression} as ${trusted(type)})`;
}
