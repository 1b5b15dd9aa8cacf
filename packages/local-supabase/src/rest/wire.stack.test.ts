import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRest, type RestFixture } from "./test-support/rest-fixture.ts";
import type { RestRequest, RestResponse } from "./rest.ts";

// Requests as they stand on the wire, and what PostgREST documents as their answer. `source` is the page below
// https://docs.postgrest.org/en/v14/references/ that says so.

let stack: RestFixture;

beforeAll(async () => {
  stack = await startRest(
    `
    create table people (id int primary key, name text, age int default 18);
    create table "odd table" (id text primary key, "a b" text);
    create table keyless (n int);
    create table pairs (a int, b text, primary key (a, b));
    insert into people values (1, 'Ann', 30), (2, 'Bob', null), (3, 'Cid', 50), (4, 'Dee', 20), (5, 'Eve', 10);
    create table many as select n from generate_series(1, 30) n;
    create schema private;
    create table private.secrets (n int);
    create schema other;
    create table other.things (n int);
    insert into other.things values (7);
    grant usage on schema other to service_role, anon;
    grant all on all tables in schema public, other to service_role;
    grant select on people to anon;

    create function one() returns int language sql stable as 'select 1';
    create function person(wanted int) returns people language sql stable as 'select * from people where id = wanted';
    create function numbers() returns setof int language sql stable as 'select generate_series(1, 5)';
    create function table_of() returns table (x int, y text) language sql stable as $$ values (1, 'a'), (2, 'b') $$;
    create function out_pair(out a int, out b text) language sql stable as $$ select 1, 'x' $$;
    create function same(a int) returns text language sql immutable as $$ select 'int' $$;
    create function same(b text) returns text language sql immutable as $$ select 'text' $$;
    create function same(a int, b text) returns text language sql immutable as $$ select 'both' $$;
    create function clash(a int) returns int language sql immutable as 'select 1';
    create function clash(a text) returns int language sql immutable as 'select 2';
    create function sum_of(variadic n int[]) returns int language sql immutable as 'select 1';
    create function writes() returns int language sql volatile as $$ insert into keyless values (1) returning n $$;
    create function raises(state text) returns void language plpgsql as $$
      begin raise exception using errcode = state, message = 'said', detail = 'why', hint = 'how'; end $$;
    create function whole_answer(message text, detail text) returns void language plpgsql as $$
      begin raise sqlstate 'PGRST' using message = message, detail = detail; end $$;
    create function sets(headers text, status text) returns int language plpgsql as $$
      begin
        perform set_config('response.headers', headers, true);
        perform set_config('response.status', status, true);
        return 1;
      end $$;
    create function asked() returns json language sql stable as $$
      select json_build_object(
        'role', current_user,
        'claims', current_setting('request.jwt.claims')::json,
        'method', current_setting('request.method'),
        'path', current_setting('request.path'),
        'agent', current_setting('request.headers')::json ->> 'user-agent',
        'cookie', current_setting('request.cookies')::json ->> 'a',
        'zone', current_setting('timezone'),
        'schemas', current_setting('search_path')) $$;
    `,
    { maxRows: 10, schemas: ["public", "other"] },
  );
});
afterAll(() => stack.close());

interface Case {
  readonly name: string;
  readonly source: string;
  /** "GET /people?id=eq.1" */
  readonly send: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly role?: string;
  readonly status: number;
  readonly json?: unknown;
  readonly text?: string;
  readonly has?: Readonly<Record<string, string>>;
  readonly hasNot?: readonly string[];
}

function send({ send: line, headers, body, role }: Case): Promise<RestResponse> {
  const [method = "", target = ""] = line.split(/ (.*)/s);
  const [path = "", query = ""] = target.split(/\?(.*)/s);
  const request: Partial<RestRequest> = { method, path, query, headers: headers ?? {}, body: body ?? "" };
  return stack.send(role === undefined ? request : { ...request, role });
}

const representation = { prefer: "return=representation" };
const object = { accept: "application/vnd.pgrst.object+json" };

const reading: readonly Case[] = [
  {
    name: "a page says where it lies",
    source: "api/pagination_count",
    send: "GET /people?select=id&order=id&limit=2&offset=1",
    status: 200,
    json: [{ id: 2 }, { id: 3 }],
    has: { "content-range": "1-2/*", "content-type": "application/json; charset=utf-8" },
  },
  {
    name: "a page of a counted table is partial",
    source: "api/pagination_count",
    send: "GET /people?select=id&limit=2",
    headers: { prefer: "count=exact" },
    status: 206,
    has: { "content-range": "0-1/5", "preference-applied": "count=exact" },
  },
  {
    name: "all of a counted table is not",
    source: "api/pagination_count",
    send: "GET /people?select=id",
    headers: { prefer: "count=exact" },
    status: 200,
    has: { "content-range": "0-4/5" },
  },
  {
    name: "the Range header is a limit",
    source: "api/pagination_count",
    send: "GET /people?select=id&order=id",
    headers: { "range-unit": "items", range: "0-1" },
    status: 200,
    json: [{ id: 1 }, { id: 2 }],
    has: { "content-range": "0-1/*" },
  },
  {
    name: "an open Range goes to the end",
    source: "api/pagination_count",
    send: "GET /people?select=id&order=id",
    headers: { range: "3-" },
    status: 200,
    json: [{ id: 4 }, { id: 5 }],
  },
  {
    name: "a Range upside down",
    source: "errors#pgrst103",
    send: "GET /people",
    headers: { range: "5-2" },
    status: 416,
    json: {
      code: "PGRST103",
      message: "Requested range not satisfiable",
      details: "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
      hint: null,
    },
  },
  {
    name: "a negative limit",
    source: "errors#pgrst103",
    send: "GET /people?limit=-1",
    status: 416,
    json: {
      code: "PGRST103",
      message: "Requested range not satisfiable",
      details: "Limit should be greater than or equal to zero.",
      hint: null,
    },
  },
  {
    name: "an offset behind the last of a counted table",
    source: "errors#pgrst103",
    send: "GET /people?offset=100",
    headers: { prefer: "count=exact" },
    status: 416,
    json: {
      code: "PGRST103",
      message: "Requested range not satisfiable",
      details: "An offset of 100 was requested, but there are only 5 rows.",
      hint: null,
    },
    has: { "content-range": "*/5" },
  },
  {
    name: "the same uncounted is empty",
    source: "api/pagination_count",
    send: "GET /people?offset=100",
    status: 200,
    json: [],
    has: { "content-range": "*/*" },
  },
  {
    name: "limit 0",
    source: "api/pagination_count",
    send: "GET /people?limit=0",
    headers: { prefer: "count=exact" },
    status: 206,
    json: [],
    has: { "content-range": "*/5" },
  },
  {
    name: "at most so many rows",
    source: "configuration#db-max-rows",
    send: "GET /many?select=n&limit=20",
    headers: { prefer: "count=exact" },
    status: 206,
    has: { "content-range": "0-9/30" },
  },
  {
    name: "HEAD answers headers alone",
    source: "api/tables_views#head",
    send: "HEAD /people?select=id",
    headers: { prefer: "count=exact" },
    status: 200,
    text: "",
    has: { "content-range": "0-4/5" },
  },
  {
    name: "one object",
    source: "api/resource_representation#singular-or-plural",
    send: "GET /people?id=eq.1",
    headers: object,
    status: 200,
    json: { id: 1, name: "Ann", age: 30 },
    has: { "content-type": "application/vnd.pgrst.object+json; charset=utf-8" },
  },
  {
    name: "one object of several",
    source: "errors#pgrst116",
    send: "GET /people",
    headers: object,
    status: 406,
    json: {
      code: "PGRST116",
      message: "Cannot coerce the result to a single JSON object",
      details: "The result contains 5 rows",
      hint: null,
    },
  },
  {
    name: "without nulls",
    source: "api/resource_representation#stripped-nulls",
    send: "GET /people?id=eq.2",
    headers: { accept: "application/vnd.pgrst.array+json;nulls=stripped" },
    status: 200,
    json: [{ id: 2, name: "Bob" }],
    has: { "content-type": "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8" },
  },
  {
    name: "one object without nulls",
    source: "api/resource_representation#stripped-nulls",
    send: "GET /people?id=eq.2",
    headers: { accept: "application/vnd.pgrst.object+json;nulls=stripped" },
    status: 200,
    json: { id: 2, name: "Bob" },
  },
  {
    name: "CSV is refused",
    source: "errors#pgrst107",
    send: "GET /people",
    headers: { accept: "text/csv" },
    status: 406,
    json: {
      code: "PGRST107",
      message: "None of these media types are available: text/csv",
      details: null,
      hint: null,
    },
  },
  {
    name: "GeoJSON is refused",
    source: "errors#pgrst107",
    send: "GET /people",
    headers: { accept: "application/geo+json" },
    status: 406,
    json: {
      code: "PGRST107",
      message: "None of these media types are available: application/geo+json",
      details: null,
      hint: null,
    },
  },
  {
    name: "of several types the first that there is",
    source: "api/resource_representation#response-format",
    send: "GET /people?id=eq.1&select=id",
    headers: { accept: "text/csv, application/json;q=0.5" },
    status: 200,
    json: [{ id: 1 }],
  },
  {
    name: "another schema",
    source: "api/schemas",
    send: "GET /things",
    headers: { "accept-profile": "other" },
    status: 200,
    json: [{ n: 7 }],
    has: { "content-profile": "other" },
  },
  {
    name: "a schema that is not exposed",
    source: "errors#pgrst106",
    send: "GET /secrets",
    headers: { "accept-profile": "private" },
    status: 406,
    json: {
      code: "PGRST106",
      message: "Invalid schema: private",
      details: null,
      hint: "Only the following schemas are exposed: public, other",
    },
  },
  {
    name: "a path that leads nowhere",
    source: "errors#pgrst125",
    send: "GET /people/1",
    status: 404,
    json: { code: "PGRST125", message: "Invalid path specified in request URL", details: null, hint: null },
  },
  {
    name: "an unknown method",
    source: "errors#pgrst117",
    send: "TRACE /people",
    status: 405,
    json: { code: "PGRST117", message: "Unsupported HTTP method: TRACE", details: null, hint: null },
  },
  {
    name: "a table with an odd name",
    source: "api/url_grammar#unicode-support",
    send: "GET /odd%20table?a%20b=is.null",
    status: 200,
    json: [],
  },
];

const writing: readonly Case[] = [
  {
    name: "insert answers nothing",
    source: "api/tables_views#insert",
    send: "POST /people",
    body: '{"id": 10, "name": "Fay"}',
    status: 201,
    text: "",
    has: { "content-range": "*/*" },
    hasNot: ["content-type", "location"],
  },
  {
    name: "or the row",
    source: "api/preferences#prefer-return",
    send: "POST /people?select=id,age",
    headers: { prefer: "return=representation" },
    body: '{"id": 11, "name": "Gus"}',
    status: 201,
    json: [{ id: 11, age: 18 }],
    has: { "preference-applied": "return=representation" },
  },
  {
    name: "or where it is",
    source: "api/preferences#headers-only",
    send: "POST /pairs",
    headers: { prefer: "return=headers-only" },
    body: '{"a": 1, "b": "x&y z\\r\\nSet-Cookie: a=b"}',
    status: 201,
    text: "",
    has: { location: "/pairs?a=eq.1&b=eq.x%26y%20z%0D%0ASet-Cookie%3A%20a%3Db" },
  },
  {
    name: "which needs a key",
    source: "api/preferences#headers-only",
    send: "POST /keyless",
    headers: { prefer: "return=headers-only" },
    body: '{"n": 1}',
    status: 201,
    text: "",
    hasNot: ["location"],
  },
  {
    name: "an empty object is a row of defaults",
    source: "api/tables_views#insert",
    send: "POST /keyless",
    headers: representation,
    body: "{}",
    status: 201,
    json: [{ n: null }],
  },
  {
    name: "empty objects are as many rows",
    source: "api/tables_views#bulk-insert",
    send: "POST /keyless",
    headers: representation,
    body: "[{}, {}]",
    status: 201,
    json: [{ n: null }, { n: null }],
  },
  {
    name: "no objects are no rows",
    source: "api/tables_views#bulk-insert",
    send: "POST /keyless",
    headers: representation,
    body: "[]",
    status: 201,
    json: [],
  },
  {
    name: "a body that is not JSON",
    source: "errors#pgrst102",
    send: "POST /people",
    body: "{",
    status: 400,
    json: { code: "PGRST102", message: "Empty or invalid json", details: null, hint: null },
  },
  {
    name: "no body",
    source: "errors#pgrst102",
    send: "POST /people",
    status: 400,
    json: { code: "PGRST102", message: "Empty or invalid json", details: null, hint: null },
  },
  {
    name: "objects with different keys",
    source: "errors#pgrst102",
    send: "POST /people",
    body: '[{"id": 20}, {"id": 21, "name": "x"}]',
    status: 400,
    json: { code: "PGRST102", message: "All object keys must match", details: null, hint: null },
  },
  {
    name: "unless the columns are named",
    source: "api/tables_views#specifying-columns",
    send: "POST /people?columns=id,name&select=id,name",
    headers: representation,
    body: '[{"id": 20, "secret": 1}, {"id": 21, "name": "x"}]',
    status: 201,
    json: [
      { id: 20, name: null },
      { id: 21, name: "x" },
    ],
  },
  {
    name: "an unknown column",
    source: "errors#pgrst204",
    send: "POST /people",
    body: '{"id": 1, "nope": 2}',
    status: 400,
    json: {
      code: "PGRST204",
      message: "Could not find the 'nope' column of 'people' in the schema cache",
      details: null,
      hint: null,
    },
  },
  {
    name: "an unknown column among the named",
    source: "errors#pgrst204",
    send: "POST /people?columns=nope",
    body: "{}",
    status: 400,
    json: {
      code: "PGRST204",
      message: "Could not find the 'nope' column of 'people' in the schema cache",
      details: null,
      hint: null,
    },
  },
  {
    name: "CSV in is refused",
    source: "errors#pgrst102",
    send: "POST /people",
    headers: { "content-type": "text/csv" },
    body: "id\n1",
    status: 400,
    json: { code: "PGRST102", message: "Content-Type not acceptable: text/csv", details: null, hint: null },
  },
  {
    name: "upsert of new and old rows is 201",
    source: "api/tables_views#upsert",
    send: "POST /people?select=id,name",
    headers: { prefer: "resolution=merge-duplicates, return=representation" },
    body: '[{"id": 1, "name": "Anna"}, {"id": 30, "name": "Hal"}]',
    status: 201,
    json: [
      { id: 1, name: "Anna" },
      { id: 30, name: "Hal" },
    ],
    has: { "preference-applied": "resolution=merge-duplicates, return=representation" },
  },
  {
    name: "upsert of old rows only is 200",
    source: "api/tables_views#upsert",
    send: "POST /people",
    headers: { prefer: "resolution=merge-duplicates" },
    body: '{"id": 1, "name": "Ann"}',
    status: 200,
    text: "",
  },
  {
    name: "upsert on columns that are not unique",
    source: "errors#http-status-codes",
    send: "POST /people?on_conflict=name",
    headers: { prefer: "resolution=merge-duplicates" },
    body: '{"id": 1, "name": "Ann"}',
    status: 400,
  },
  {
    name: "update answers nothing",
    source: "api/tables_views#update",
    send: "PATCH /people?id=eq.30",
    body: '{"age": 31}',
    status: 204,
    text: "",
    has: { "content-range": "0-0/*" },
    hasNot: ["content-type"],
  },
  {
    name: "or the rows, counted",
    source: "api/preferences#prefer-return",
    send: "PATCH /people?id=in.(20,21)&select=id",
    headers: { prefer: "return=representation, count=exact" },
    body: '{"age": 31}',
    status: 200,
    json: [{ id: 20 }, { id: 21 }],
    has: { "content-range": "0-1/2" },
  },
  {
    name: "an update of nothing",
    source: "api/tables_views#update",
    send: "PATCH /people?id=eq.1",
    headers: representation,
    body: "{}",
    status: 200,
    json: [],
    has: { "content-range": "*/*" },
  },
  {
    name: "an update that finds nothing",
    source: "api/tables_views#update",
    send: "PATCH /people?id=eq.999",
    headers: representation,
    body: '{"age": 1}',
    status: 200,
    json: [],
    has: { "content-range": "*/*" },
  },
  {
    name: "update of more than allowed changes nothing",
    source: "errors#pgrst124",
    send: "PATCH /people?id=lte.5",
    headers: { prefer: "handling=strict, max-affected=2" },
    body: '{"age": 99}',
    status: 400,
    json: {
      code: "PGRST124",
      message: "Query result exceeds max-affected preference constraint",
      details: "The query affects 5 rows",
      hint: null,
    },
  },
  {
    name: "so it did",
    source: "api/preferences#prefer-max-affected",
    send: "GET /people?age=eq.99",
    status: 200,
    json: [],
  },
  {
    name: "a single object that was several changes nothing",
    source: "errors#pgrst116",
    send: "DELETE /people?id=lte.5&select=id",
    headers: { ...object, prefer: "return=representation" },
    status: 406,
    json: {
      code: "PGRST116",
      message: "Cannot coerce the result to a single JSON object",
      details: "The result contains 5 rows",
      hint: null,
    },
  },
  {
    name: "a preference nobody knows, strictly",
    source: "errors#pgrst122",
    send: "GET /people",
    headers: { prefer: "handling=strict, anything, count=exact" },
    status: 400,
    json: {
      code: "PGRST122",
      message: "Invalid preferences given with handling=strict",
      details: "Invalid preferences: anything",
      hint: null,
    },
  },
  {
    name: "a change that is rolled back on request",
    source: "api/preferences#prefer-tx",
    send: "DELETE /people?id=eq.1&select=id",
    headers: { prefer: "tx=rollback, return=representation" },
    status: 200,
    json: [{ id: 1 }],
    has: { "preference-applied": "return=representation, tx=rollback" },
  },
  {
    name: "is not there afterwards",
    source: "api/preferences#prefer-tx",
    send: "GET /people?id=eq.1&select=id",
    status: 200,
    json: [{ id: 1 }],
  },
  {
    name: "delete answers nothing",
    source: "api/tables_views#delete",
    send: "DELETE /people?id=gte.10",
    headers: { prefer: "count=exact" },
    status: 204,
    text: "",
    has: { "content-range": "*/5" },
  },
  {
    name: "PUT is refused by name",
    source: "errors#pgrst127",
    send: "PUT /people?id=eq.1",
    body: '{"id": 1}',
    status: 400,
  },
];

const calling: readonly Case[] = [
  { name: "a scalar", source: "api/functions", send: "POST /rpc/one", status: 200, json: 1 },
  { name: "a scalar by GET", source: "api/functions", send: "GET /rpc/one", status: 200, json: 1 },
  { name: "by HEAD", source: "api/functions", send: "HEAD /rpc/one", status: 200, text: "" },
  {
    name: "a row is an object",
    source: "api/functions#functions-returning",
    send: "GET /rpc/person?wanted=1&select=name",
    status: 200,
    json: { name: "Ann" },
  },
  {
    name: "a set of scalars is a list",
    source: "api/functions",
    send: "GET /rpc/numbers?limit=2&offset=1",
    headers: { prefer: "count=exact" },
    status: 206,
    json: [2, 3],
    has: { "content-range": "1-2/5" },
  },
  {
    name: "a table is a list of objects, filtered and ordered",
    source: "api/functions#table-valued-functions",
    send: "GET /rpc/table_of?select=y&x=gte.1&order=x.desc&limit=1",
    status: 200,
    json: [{ y: "b" }],
  },
  {
    name: "out parameters are an object",
    source: "api/functions",
    send: "POST /rpc/out_pair",
    status: 200,
    json: { a: 1, b: "x" },
  },
  {
    name: "overloads by argument names: one",
    source: "api/functions#overloaded-functions",
    send: "POST /rpc/same",
    body: '{"a": 1}',
    status: 200,
    json: "int",
  },
  {
    name: "overloads by argument names: the other",
    source: "api/functions#overloaded-functions",
    send: "POST /rpc/same",
    body: '{"b": "x"}',
    status: 200,
    json: "text",
  },
  {
    name: "overloads by argument names: both",
    source: "api/functions#overloaded-functions",
    send: "GET /rpc/same?a=1&b=x",
    status: 200,
    json: "both",
  },
  {
    name: "overloads that names do not tell apart",
    source: "errors#pgrst203",
    send: "POST /rpc/clash",
    body: '{"a": 1}',
    status: 300,
    json: {
      code: "PGRST203",
      message:
        "Could not choose the best candidate function between: public.clash(a => integer), public.clash(a => text)",
      details: null,
      hint: "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
    },
  },
  {
    name: "arguments that no overload takes",
    source: "errors#pgrst202",
    send: "POST /rpc/same",
    body: '{"c": 1, "a": 2}',
    status: 404,
    json: {
      code: "PGRST202",
      message: "Could not find the function public.same(a, c) in the schema cache",
      details:
        "Searched for the function public.same with parameters a, c or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache.",
      hint: "Perhaps you meant to call the function public.same(a, b)",
    },
  },
  {
    name: "a function that there is not, by GET",
    source: "errors#pgrst202",
    send: "GET /rpc/nowhere?x=1",
    status: 404,
    json: {
      code: "PGRST202",
      message: "Could not find the function public.nowhere(x) in the schema cache",
      details:
        "Searched for the function public.nowhere with parameter x, but no matches were found in the schema cache.",
      hint: null,
    },
  },
  {
    name: "variadic arguments are refused by name",
    source: "errors#pgrst127",
    send: "POST /rpc/sum_of",
    body: '{"n": [1, 2]}',
    status: 400,
    json: {
      code: "PGRST127",
      message: "Feature not implemented",
      details: "Functions with variadic parameters are not implemented in rpc.",
      hint: null,
    },
  },
  {
    name: "a function that writes, by GET",
    source: "transactions#access-mode",
    send: "GET /rpc/writes",
    status: 405,
    json: {
      code: "25006",
      message: "cannot execute INSERT in a read-only transaction",
      details: null,
      hint: null,
    },
  },
  { name: "by POST", source: "transactions#access-mode", send: "POST /rpc/writes", status: 200, json: 1 },
  {
    name: "another method",
    source: "errors#pgrst101",
    send: "PATCH /rpc/one",
    status: 405,
    json: { code: "PGRST101", message: "Cannot use the PATCH method on RPC", details: null, hint: null },
  },
  {
    name: "max-affected for one value",
    source: "errors#pgrst128",
    send: "POST /rpc/one",
    headers: { prefer: "handling=strict, max-affected=1" },
    status: 400,
    json: {
      code: "PGRST128",
      message:
        "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
      details: null,
      hint: null,
    },
  },
  {
    name: "max-affected for a set",
    source: "errors#pgrst124",
    send: "POST /rpc/numbers",
    headers: { prefer: "handling=strict, max-affected=1" },
    status: 400,
  },
];

const failing: readonly Case[] = [
  ...[
    ["P0001", 400],
    ["22003", 400],
    ["23503", 409],
    ["23505", 409],
    ["23502", 400],
    ["42501", 403],
    ["42883", 404],
    ["42P01", 404],
    ["28000", 403],
    ["40001", 500],
    ["53100", 503],
    ["53400", 500],
    ["57014", 500],
    ["57P01", 503],
    ["P0002", 500],
    ["XX000", 500],
    ["PT402", 402],
    ["PT999", 500],
  ].map(([state, status]): Case => ({
    name: `SQLSTATE ${state}`,
    source: "errors#http-status-codes",
    send: "POST /rpc/raises",
    body: JSON.stringify({ state }),
    status: Number(status),
    json: { code: state, message: "said", details: "why", hint: "how" },
  })),
  {
    name: "a missing right without a role is 401",
    source: "errors#http-status-codes",
    send: "GET /pairs",
    role: "anon",
    status: 401,
    has: { "www-authenticate": "Bearer" },
  },
  {
    name: "a whole answer raised",
    source: "errors#raise-errors-with-http-status-codes",
    send: "POST /rpc/whole_answer",
    body: JSON.stringify({
      message: '{"code":"123","message":"Payment","details":"Quota","hint":"Upgrade"}',
      detail: '{"status":402,"headers":{"X-Powered-By":"Nerd Rage"}}',
    }),
    status: 402,
    json: { code: "123", message: "Payment", details: "Quota", hint: "Upgrade" },
    has: { "x-powered-by": "Nerd Rage" },
  },
  {
    name: "a whole answer that is not one",
    source: "errors#pgrst121",
    send: "POST /rpc/whole_answer",
    body: JSON.stringify({ message: "INVALID", detail: "{}" }),
    status: 500,
    json: {
      code: "PGRST121",
      message: "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error",
      details: "Invalid JSON value for MESSAGE: 'INVALID'",
      hint: "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'.",
    },
  },
  {
    name: "headers and status set by a function",
    source: "transactions#response-headers",
    send: "POST /rpc/sets",
    body: JSON.stringify({ headers: '[{"X-A": "b"}, {"Cache-Control": "public"}]', status: "202" }),
    status: 202,
    json: 1,
    has: { "x-a": "b", "cache-control": "public" },
  },
  {
    name: "headers that are none",
    source: "errors#pgrst111",
    send: "POST /rpc/sets",
    body: JSON.stringify({ headers: '{"X-A": "b"}', status: "200" }),
    status: 500,
    json: {
      code: "PGRST111",
      message:
        "response.headers guc must be a JSON array composed of objects with a single key and a string value",
      details: null,
      hint: null,
    },
  },
  {
    name: "a header that would end its line",
    source: "errors#pgrst111",
    send: "POST /rpc/sets",
    body: JSON.stringify({ headers: '[{"X-A\\r\\nEvil": "b"}]', status: "200" }),
    status: 500,
  },
  {
    name: "a status that is none",
    source: "errors#pgrst112",
    send: "POST /rpc/sets",
    body: JSON.stringify({ headers: "[]", status: "teapot" }),
    status: 500,
    json: {
      code: "PGRST112",
      message: "response.status guc must be a valid status code",
      details: null,
      hint: null,
    },
  },
  {
    name: "a role that may not be taken",
    source: "auth#user-impersonation",
    send: "GET /people",
    role: "postgres",
    status: 403,
    json: { code: "42501", message: 'permission denied to set role "postgres"', details: null, hint: null },
  },
  {
    name: "a role that there is not",
    source: "auth#user-impersonation",
    send: "GET /people",
    role: "nobody_at_all",
    status: 401,
    json: { code: "22023", message: 'role "nobody_at_all" does not exist', details: null, hint: null },
  },
];

describe.each([
  ["reading", reading],
  ["writing", writing],
  ["calling", calling],
  ["failing", failing],
])("%s", (_, cases) => {
  test.each(cases)("$name", async (wanted) => {
    const { status, headers, body } = await send(wanted);
    expect({ status, body }).toMatchObject({ status: wanted.status });
    if (wanted.json !== undefined) expect(JSON.parse(body)).toEqual(wanted.json);
    if (wanted.text !== undefined) expect(body).toBe(wanted.text);
    expect(headers).toMatchObject(wanted.has ?? {});
    for (const name of wanted.hasNot ?? []) expect(headers).not.toHaveProperty(name);
  });
});

test("a request's settings are seen by the database", async () => {
  const { body } = await stack.send({
    method: "POST",
    path: "/rpc/asked",
    headers: { "user-agent": "me", cookie: "a=b; c=d", prefer: "timezone=America/Los_Angeles" },
    body: "{}",
    credential: {
      role: "authenticated",
      claims: { sub: "u", role: "authenticated" },
      expiresAtSeconds: undefined,
    },
  });
  expect(JSON.parse(body)).toEqual({
    role: "authenticated",
    claims: { sub: "u", role: "authenticated" },
    method: "POST",
    path: "/rpc/asked",
    agent: "me",
    cookie: "b",
    zone: "America/Los_Angeles",
    schemas: '"public", "extensions"',
  });
});

test("nothing of a request is left for the next", async () => {
  await stack.send({ path: "/people", headers: { prefer: "timezone=America/Los_Angeles" } });
  const { rows } = await stack.database.query(
    "select current_user = session_user, current_setting('request.method', true) = '', current_setting('transaction_read_only')",
  );
  expect(rows).toEqual([["t", "t", "off"]]);
});

test("planned and estimated counts", async () => {
  await stack.database.exec("analyze many");
  const range = async (prefer: string, query: string): Promise<string | undefined> =>
    (await stack.send({ path: "/many", query, headers: { prefer } })).headers["content-range"];
  expect(await range("count=planned", "select=n")).toBe("0-9/30");
  expect(await range("count=estimated", "select=n")).toBe("0-9/30");
  expect(await range("count=estimated", "select=n&n=lte.3")).toBe("0-2/3");
});

test("explain answers how Postgres would do it", async () => {
  const text = await stack.as("service_role").from("people").select().eq("id", 1).explain();
  expect(text.error).toBeNull();
  expect(text.data).toContain("people");
  const json = await stack
    .as("service_role")
    .from("people")
    .select()
    .explain({ format: "json", analyze: true });
  expect(json.data).toMatchObject([{ Plan: {} }]);
});

test("the root lists tables and functions", async () => {
  const { data, error } = await stack.as("service_role").getOpenApiSpec();
  expect(error).toBeNull();
  expect(data).toMatchObject({ swagger: "2.0", definitions: { people: { required: ["id"] } } });
  expect(Object.keys(data?.paths ?? {})).toContain("/rpc/one");
});
