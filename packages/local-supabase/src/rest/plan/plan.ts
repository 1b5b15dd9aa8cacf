import { tableNotFoundError } from "../errors/schema-errors.ts";
import type { ParsedRequest } from "../request/request.ts";
import type { SchemaCache, Table } from "../schema/schema-cache.ts";
import { planCall, type Call } from "./plan-call.ts";
import { planRead } from "./plan-read.ts";
import { planWrite, type Write } from "./plan-write.ts";
import type { ReadNode } from "./read-plan.ts";
import { ofEmbedded, type Said } from "./said.ts";

/** What a request comes to: everything named in it is resolved, nothing was asked of the database yet. */
export type Plan =
  | { readonly kind: "read"; readonly node: ReadNode }
  | { readonly kind: "write"; readonly write: Write; readonly node: ReadNode }
  | { readonly kind: "call"; readonly call: Call; readonly node: ReadNode };

/** Pure. Throws RestError for what the schema does not have. */
export function planRequest(
  request: Exclude<ParsedRequest, { kind: "describe" }>,
  cache: SchemaCache,
  maxRows: number,
): Plan {
  const { query, schema } = request;
  const said: Said = { ...query, windows: withTop(request) };
  switch (request.kind) {
    case "read": {
      const table = tableOf(cache, schema, request.table);
      const source = { kind: "table", table } as const;
      return {
        kind: "read",
        node: planRead(cache, { source, name: table, select: query.select, said, maxRows }),
      };
    }
    case "insert":
    case "update":
    case "delete": {
      const table = tableOf(cache, schema, request.table);
      const write = planWrite(request, table, said);
      // The root's filters chose the rows to write, and its limit was for reading.
      const below = {
        ...said,
        filters: ofEmbedded(said.filters),
        logic: ofEmbedded(said.logic),
        windows: ofEmbedded(said.windows),
      };
      const root = { source: { kind: "produced" }, name: table, select: query.select, said: below } as const;
      return { kind: "write", write, node: planRead(cache, { ...root, maxRows: undefined }) };
    }
    case "call": {
      const call = planCall(request, cache);
      const { returns } = call.function;
      const name = (returns.kind === "row" ? returns.table : undefined) ?? {
        schema,
        name: call.function.name,
      };
      const root = { source: { kind: "produced" }, name, select: query.select, said, maxRows } as const;
      return { kind: "call", call, node: planRead(cache, root) };
    }
  }
}

function tableOf(cache: SchemaCache, schema: string, name: string): Table {
  const table = cache.table(schema, name);
  if (table === undefined) throw tableNotFoundError(cache, { schema, name });
  return table;
}

/** The root's window is that of the query string and the `Range` header together. */
function withTop({ query, window }: ParsedRequest): Said["windows"] {
  return [{ path: [], value: window }, ...ofEmbedded(query.windows)];
}
