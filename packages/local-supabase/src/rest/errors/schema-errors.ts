import { nearestName } from "../schema/nearest-name.ts";
import { isToOne, type Relationship, type TableName } from "../schema/relationship.ts";
import type { DatabaseFunction, SchemaCache, Table } from "../schema/schema-cache.ts";
import { RestError } from "./rest-error.ts";

// What the request names and the schema cache does not have. Codes, statuses and wording: PostgREST's reference,
// "Errors", group 2 (https://docs.postgrest.org/en/v14/references/errors.html#pgrst2).

/** Whether another look at the database could make this error go away. */
export function isCacheMiss(error: unknown): boolean {
  return error instanceof RestError && ["PGRST200", "PGRST202", "PGRST204", "PGRST205"].includes(error.code);
}

export function noRelationshipError(
  cache: SchemaCache,
  origin: TableName,
  target: string,
  hint: string | undefined,
): RestError {
  const { schema, name } = origin;
  const using = hint === undefined ? "" : `' using the hint '${hint}`;
  return new RestError({
    status: 400,
    code: "PGRST200",
    message: `Could not find a relationship between '${name}' and '${target}' in the schema cache`,
    details: `Searched for a foreign key relationship between '${name}' and '${target}${using}' in the schema '${schema}', but no matches were found.`,
    hint: relationshipHint(cache, origin, target),
  });
}

function relationshipHint(cache: SchemaCache, origin: TableName, target: string): string | null {
  const related = cache
    .relationships(origin.schema, origin.name)
    .map((relationship) => relationship.target.name);
  if (related.length === 0) {
    const embedding = cache
      .tableNames(origin.schema)
      .filter((name) => cache.relationships(origin.schema, name).length > 0);
    const nearest = nearestName(origin.name, embedding, 1 / 3);
    return nearest === undefined ? null : `Perhaps you meant '${nearest}' instead of '${origin.name}'.`;
  }
  const nearest = nearestName(
    target,
    related.filter((name) => name !== target),
    1 / 3,
  );
  return nearest === undefined || related.includes(target)
    ? null
    : `Perhaps you meant '${nearest}' instead of '${target}'.`;
}

export function ambiguousRelationshipError(
  origin: string,
  target: string,
  candidates: readonly Relationship[],
): RestError {
  const choices = candidates.map((candidate) => `'${candidate.target.name}!${constraintOf(candidate)}'`);
  return new RestError({
    status: 300,
    code: "PGRST201",
    message: `Could not embed because more than one relationship was found for '${origin}' and '${target}'`,
    details: candidates.map(describeRelationship),
    hint: `Try changing '${target}' to one of the following: ${choices.join(", ")}. Find the desired relationship in the 'details' key.`,
  });
}

function constraintOf(relationship: Relationship): string {
  switch (relationship.kind) {
    case "many-to-many":
      return relationship.junction.name;
    case "computed":
      return relationship.function.name;
    case "many-to-one":
    case "one-to-one":
    case "one-to-many":
      return relationship.constraint;
  }
}

function describeRelationship(relationship: Relationship): Readonly<Record<string, string>> {
  const { origin, target, kind } = relationship;
  const columns = (names: readonly string[]): string => `(${names.join(", ")})`;
  const embedding = `${origin.name} with ${target.name}`;
  if (kind === "computed") {
    const cardinality = isToOne(relationship) ? "many-to-one" : "one-to-many";
    return { embedding, cardinality, relationship: `${relationship.function.name}(${origin.name})` };
  }
  if (kind === "many-to-many") {
    const [near, far] = relationship.constraints;
    const nearColumns = columns(relationship.originColumns.map(({ to }) => to));
    const farColumns = columns(relationship.targetColumns.map(({ to }) => to));
    return {
      embedding,
      cardinality: kind,
      relationship: `${relationship.junction.name} using ${near}${nearColumns} and ${far}${farColumns}`,
    };
  }
  const from = columns(relationship.columns.map((pair) => pair.from));
  const to = columns(relationship.columns.map((pair) => pair.to));
  return {
    embedding,
    cardinality: kind,
    relationship: `${relationship.constraint} using ${origin.name}${from} and ${target.name}${to}`,
  };
}

export interface FunctionSearch {
  readonly schema: string;
  readonly name: string;
  readonly argumentNames: readonly string[];
  /** Where a single unnamed parameter was searched as well: its type, "json" standing for json and jsonb. */
  readonly unnamed: "json" | "text" | "xml" | "bytea" | undefined;
}

export function noFunctionError(cache: SchemaCache, search: FunctionSearch): RestError {
  const { schema, name, unnamed } = search;
  const names = search.argumentNames.toSorted();
  const raw = unnamed !== undefined && unnamed !== "json";
  const list = names.join(", ");
  const called = names.length === 0 ? " without parameters" : `(${list})`;
  const plural = names.length > 1 ? "parameters" : "parameter";
  const withNames = names.length === 0 ? " without parameters" : ` with ${plural} ${list}`;
  const orUnnamed = unnamed === "json" ? " or with a single unnamed json/jsonb parameter" : "";
  const searched = raw ? ` with a single unnamed ${unnamed} parameter` : `${withNames}${orUnnamed}`;
  return new RestError({
    status: 404,
    code: "PGRST202",
    message: `Could not find the function ${schema}.${name}${raw ? "" : called} in the schema cache`,
    details: `Searched for the function ${schema}.${name}${searched}, but no matches were found in the schema cache.`,
    hint: raw ? null : functionHint(cache, search, names),
  });
}

function functionHint(
  cache: SchemaCache,
  { schema, name }: FunctionSearch,
  names: readonly string[],
): string | null {
  const overloads = cache.functions(schema, name);
  const signature = (parameters: readonly string[]): string => `(${parameters.toSorted().join(", ")})`;
  const nearest =
    overloads.length === 0
      ? nearestName(name, cache.functionNames(schema), 0.75)
      : nearestName(
          signature(names),
          overloads.map((overload) => signature(overload.parameters.map((parameter) => parameter.name))),
          1 / 3,
        );
  if (nearest === undefined) return null;
  return `Perhaps you meant to call the function ${schema}.${overloads.length === 0 ? nearest : `${name}${nearest}`}`;
}

export function ambiguousFunctionError(candidates: readonly DatabaseFunction[]): RestError {
  const signatures = candidates.map(
    ({ schema, name, parameters }) =>
      `${schema}.${name}(${parameters.map((parameter) => `${parameter.name} => ${parameter.type}`).join(", ")})`,
  );
  return new RestError({
    status: 300,
    code: "PGRST203",
    message: `Could not choose the best candidate function between: ${signatures.join(", ")}`,
    hint: "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
  });
}

export function columnNotFoundError(table: Table, column: string): RestError {
  return new RestError({
    status: 400,
    code: "PGRST204",
    message: `Could not find the '${column}' column of '${table.name}' in the schema cache`,
  });
}

export function tableNotFoundError(cache: SchemaCache, { schema, name }: TableName): RestError {
  const nearest = nearestName(name, cache.tableNames(schema), 0.75);
  return new RestError({
    status: 404,
    code: "PGRST205",
    message: `Could not find the table '${schema}.${name}' in the schema cache`,
    hint: nearest === undefined ? null : `Perhaps you meant the table '${schema}.${nearest}'`,
  });
}
