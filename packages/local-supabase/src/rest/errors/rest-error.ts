import type { RestResponse } from "../rest.ts";

export interface RestErrorFacts {
  readonly status: number;
  /** `PGRSTxxx`, a SQLSTATE, or what `raise sqlstate 'PGRST'` named. */
  readonly code: string;
  readonly message: string;
  /** Text, or JSON where PostgREST answers a list (PGRST201). */
  readonly details?: unknown;
  readonly hint?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that is an error. Thrown anywhere between the door and the database, becomes the response at the door. */
export class RestError extends Error {
  override readonly name = "RestError";
  readonly status: number;
  readonly code: string;
  readonly details: unknown;
  readonly hint: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(facts: RestErrorFacts) {
    super(facts.message);
    this.status = facts.status;
    this.code = facts.code;
    this.details = facts.details ?? null;
    this.hint = facts.hint ?? null;
    this.headers = facts.headers ?? {};
  }

  toResponse(): RestResponse {
    const { code, details, hint, message } = this;
    return {
      status: this.status,
      headers: {
        "content-type": "application/json; charset=utf-8",
        "proxy-status": `PostgREST; error=${headerSafe(code)}`,
        ...this.headers,
      },
      body: JSON.stringify({ code, details, hint, message }),
    };
  }
}

/** What came out of a database function must not be able to end a header line. */
export function headerSafe(value: string): string {
  return value.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, "");
}
