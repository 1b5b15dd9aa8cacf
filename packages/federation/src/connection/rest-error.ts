import { FederationError, type FederationErrorCode } from "../runtime/errors.ts";

/** What supabase-js answers when a request fails. Status 0: there was no answer. */
export interface RestFailure {
  readonly status: number;
  /** SQLSTATE, PostgREST's own code, or empty. */
  readonly code: string;
  readonly message: string;
  readonly details?: string | null;
  readonly hint?: string | null;
}

export const migrationRemedy =
  "Apply the migrations in supabase/migrations: `supabase db push`, or paste them into the SQL editor of the project";

/** A failed request as a FederationError. Pure. Something on the way may have answered in a JSON of its own, with none of the fields. */
export function errorFromRest(attempt: string, answered: RestFailure): FederationError {
  const failure = { ...answered, code: textOf(answered.code), message: textOf(answered.message) };
  const code = codeOf(failure);
  const remedy = remedyOf(code, failure);
  const where =
    failure.status === 0
      ? ""
      : ` (${[failure.status, failure.code].filter((part) => part !== "").join(" ")})`;
  const message = `${attempt}: ${firstLine(failure.message)}${where}`;
  return new FederationError(code, message, { cause: failure, ...(remedy === undefined ? {} : { remedy }) });
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function codeOf({ status, code }: RestFailure): FederationErrorCode {
  const known = codes[code];
  if (known !== undefined) return known;
  if (status === 0) return "unreachable";
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 413) return "too_large";
  if (status === 429 || status === 503) return "busy";
  if (status === 502 || status === 504 || (status >= 520 && status <= 524)) return "unreachable";
  // A 404 without PostgREST's code is some other server, or another path of this one.
  if (status === 404 && code === "") return "unreachable";
  return "server";
}

// Source: PostgreSQL appendix A (error codes); PostgREST's error reference (PGRST…); docs/schema.md (which of them our functions raise).
const codes: Readonly<Record<string, FederationErrorCode>> = {
  "22023": "invalid_argument",
  "22P02": "invalid_argument",
  "22P05": "invalid_argument",
  "22003": "invalid_argument",
  "22007": "invalid_argument",
  "22008": "invalid_argument",
  "23502": "invalid_argument",
  "23503": "invalid_argument",
  "23514": "invalid_argument",
  "23505": "conflict",
  "40001": "busy",
  "40P01": "busy",
  "42501": "forbidden",
  "42P01": "schema_missing",
  "53300": "busy",
  "53400": "loop",
  "54000": "too_large",
  "55000": "invalid_state",
  "57014": "timeout",
  "57P01": "busy",
  "57P03": "busy",
  P0002: "not_found",
  PGRST000: "busy",
  PGRST001: "busy",
  PGRST002: "busy",
  PGRST003: "busy",
  PGRST202: "schema_missing",
  PGRST205: "schema_missing",
  PGRST301: "unauthorized",
  PGRST302: "unauthorized",
  PGRST303: "unauthorized",
};

function remedyOf(code: FederationErrorCode, failure: RestFailure): string | undefined {
  if (code === "schema_missing") return migrationRemedy;
  if (code === "unreachable") return "Look at the URL, the network and whether the project is running";
  if (code === "unauthorized")
    return "Look at the key and the token: they must belong to this project and not have expired";
  if (failure.code === "22P05") return "Postgres stores no NUL and no half a surrogate pair: leave them out";
  const hint = textOf(failure.hint);
  return hint === "" ? undefined : hint;
}

function firstLine(text: string): string {
  const line = text.split("\n", 1)[0] ?? "";
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
