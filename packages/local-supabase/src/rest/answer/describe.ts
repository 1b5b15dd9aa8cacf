import type { ParsedRequest } from "../request/request.ts";
import type { RestResponse } from "../rest.ts";
import type { SchemaCache, Table } from "../schema/schema-cache.ts";

/** The root's answer: which tables and functions there are, as a short OpenAPI 2 document. */
export function describeSchema(
  cache: SchemaCache,
  { schema }: Extract<ParsedRequest, { kind: "describe" }>,
): RestResponse {
  const tables = cache.tableNames(schema).flatMap((name) => cache.table(schema, name) ?? []);
  const document = {
    swagger: "2.0",
    info: { title: "local-supabase", description: `Tables and functions of schema ${schema}`, version: "1" },
    basePath: "/",
    consumes: ["application/json"],
    produces: ["application/json"],
    paths: {
      ...Object.fromEntries(tables.map((table) => [`/${table.name}`, tablePath(table)])),
      ...Object.fromEntries(cache.functionNames(schema).map((name) => [`/rpc/${name}`, functionPath(name)])),
    },
    definitions: Object.fromEntries(tables.map((table) => [table.name, definition(table)])),
  };
  return {
    status: 200,
    headers: { "content-type": "application/openapi+json; charset=utf-8" },
    body: JSON.stringify(document),
  };
}

function tablePath({ name, isView }: Table): object {
  const operation = { tags: [name], responses: { 200: { description: "OK" } } };
  return isView
    ? { get: operation }
    : { get: operation, post: operation, patch: operation, delete: operation };
}

function functionPath(name: string): object {
  return { post: { tags: [`(rpc) ${name}`], responses: { 200: { description: "OK" } } } };
}

function definition({ columns, primaryKey }: Table): object {
  return {
    type: "object",
    required: primaryKey,
    properties: Object.fromEntries([...columns.values()].map(({ name, type }) => [name, { format: type }])),
  };
}
