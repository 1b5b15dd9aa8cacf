import { PostgrestClient } from "@supabase/postgrest-js";
import { openTestDatabase } from "../../../../../test-support/database.ts";
import type { Database } from "../../database/database.ts";
import { createRest } from "../create-rest.ts";
import type { Rest, RestOptions, RestRequest, RestResponse } from "../rest.ts";

/** REST on a database of its own, asked without HTTP: by the unmodified postgrest-js, or request by request. */
export interface RestFixture {
  readonly database: Database;
  readonly rest: Rest;
  /** A client that speaks for `role`; `claims` beside it. Untyped: the tables are the test's own. */
  // oxlint-disable-next-line typescript/no-explicit-any -- what postgrest-js itself calls an unknown database
  as(role: string, claims?: Readonly<Record<string, unknown>>): PostgrestClient<any, any, any>;
  /** One request as it stands on the wire. */
  send(request: Partial<RestRequest> & { readonly role?: string }): Promise<RestResponse>;
  close(): Promise<void>;
}

export async function startRest(sql: string, options: Partial<RestOptions> = {}): Promise<RestFixture> {
  const database = await openTestDatabase();
  await database.exec(sql);
  const rest = await createRest(database, {
    maxRows: 1000,
    schemas: ["public"],
    statementTimeoutMs: 8000,
    debug: true,
    ...options,
  });
  return {
    database,
    rest,
    as: (role, claims = {}) =>
      new PostgrestClient("http://rest.test", { fetch: fetchFrom(rest, role, claims), retry: false }),
    send: ({ role = "service_role", ...request }) =>
      rest.answer({
        method: "GET",
        path: "/",
        query: "",
        headers: {},
        body: "",
        credential: { role, claims: { role }, expiresAtSeconds: undefined },
        ...request,
      }),
    close: () => database.close(),
  };
}

/** What an HTTP server does between the two, without sockets. */
function fetchFrom(rest: Rest, role: string, claims: Readonly<Record<string, unknown>>): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    const { status, headers, body } = await rest.answer({
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      headers: Object.fromEntries(request.headers),
      body: await request.text(),
      credential: { role, claims: { role, ...claims }, expiresAtSeconds: undefined },
    });
    const bodyless = status === 204 || status === 304 || request.method === "HEAD";
    return new Response(bodyless ? null : body, { status, headers });
  };
}
