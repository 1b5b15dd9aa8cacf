import type { Credential } from "../keys/credential.ts";

/** One HTTP request to `/rest/v1`, already authenticated. Plain data: it crosses a thread boundary. */
export interface RestRequest {
  readonly method: string;
  /** What follows `/rest/v1`, still percent-encoded: `/todos`, `/rpc/add`. */
  readonly path: string;
  /** The query string without its question mark, still percent-encoded. */
  readonly query: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Text, or its UTF-8 bytes where there are many: memory that threads share goes from one to the other for nothing. */
  readonly body: string | SharedArrayBuffer;
  readonly credential: Credential;
}

/** A request whose body is text in any case. */
export type RestRequestText = RestRequest & { readonly body: string };

/** Plain data as well. `body` is JSON text or empty. */
export interface RestResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RestOptions {
  /** The most rows one answer holds; hosted: 1000. */
  readonly maxRows: number;
  /** Schemas a client may name in Accept-Profile and Content-Profile, the first is the default. */
  readonly schemas: readonly string[];
  /** Hosted: 8000 ms for `authenticated`. Native Postgres enforces it; see database/ for the embedded one. */
  readonly statementTimeoutMs: number;
  /** Answers execution plans and rolls back on request (`explain()` and `rollback()` of supabase-js). Off on hosted projects. */
  readonly debug: boolean;
}

export interface Rest {
  /** Never rejects: whatever goes wrong is a response. Where `signal` aborts before it has begun, it is not carried out. */
  answer(request: RestRequest, signal?: AbortSignal): Promise<RestResponse>;
}
