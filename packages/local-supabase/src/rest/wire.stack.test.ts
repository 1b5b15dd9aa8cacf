import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRest, type RestFixture } from "./test-support/rest-fixture.ts";
import type { RestRequest, RestResponse } from "./rest.ts";
import { calling } from "./test-support/wire-cases/calling.ts";
import { failing } from "./test-support/wire-cases/failing.ts";
import { reading } from "./test-support/wire-cases/reading.ts";
import type { WireCase } from "./test-support/wire-cases/wire-case.ts";
import { writing } from "./test-support/wire-cases/writing.ts";

// Requests as they stand on the wire, and what PostgREST documents as their answer: the tables in wire-cases/, in order.

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

function send({ send: line, headers, body, role }: WireCase): Promise<RestResponse> {
  const [method = "", target = ""] = line.split(/ (.*)/s);
  const [path = "", query = ""] = target.split(/\?(.*)/s);
  const request: Partial<RestRequest> = { method, path, query, headers: headers ?? {}, body: body ?? "" };
  return stack.send(role === undefined ? request : { ...request, role });
}

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

test("an alias needs a name", async () => {
  const { status, body } = await stack.send({ path: "/people", query: 'select="":id' });
  expect([status, JSON.parse(body)]).toMatchObject([400, { code: "PGRST100" }]);
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
