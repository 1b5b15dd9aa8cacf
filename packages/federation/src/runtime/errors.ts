/** What went wrong, for callers to switch on. docs/errors.md has a row for each: meaning, who can fix it, whether retrying helps. */
export type FederationErrorCode =
  | "closed" // the owner shut the hub down
  | "replaced" // another process of this agent took over, exclusively
  | "timeout" // no answer within the limit
  | "unreachable" // the network or the server behind the URL does not answer
  | "busy" // the server is there and asks to come back later
  | "unauthorized" // the server refused the key or the token
  | "forbidden" // signed in, but not allowed to do this
  | "credentials" // no usable credential was given, or one that must not be used here
  | "invalid_argument" // the call was wrong: an id, a payload, an option
  | "invalid_state" // right call, wrong moment: not initialized, already ended
  | "conflict" // the same id was used before with other content
  | "not_found" // there is no such session, task or memory
  | "schema_missing" // the migrations were not applied to this project
  | "schema_version" // the applied migrations are older or newer than this library
  | "undelivered" // the recipient could not handle the message: it is a dead letter there
  | "loop" // a chain of messages, or what an agent sends in a minute, is over its limit
  | "too_large" // over a size limit
  | "unsupported" // this runtime or this version cannot do it
  | "locked" // another process, or another store of this one, has the folder
  | "storage" // the disk refused: full, read-only, gone
  | "damaged" // what is stored on this machine is not what was written
  | "server" // the server failed in a way that has no code of its own here
  | "protocol"; // the peer sent something this version cannot read

export interface FederationErrorFacts {
  readonly cause?: unknown;
  /** What the reader can do about it, one sentence. */
  readonly remedy?: string;
}

/** Every failure that is not a bug. The message says what was attempted, what was expected and what was found. */
export class FederationError extends Error {
  override readonly name = "FederationError";
  readonly code: FederationErrorCode;
  readonly remedy: string | undefined;

  constructor(code: FederationErrorCode, message: string, facts: FederationErrorFacts = {}) {
    const text = facts.remedy === undefined ? message : `${message}. ${facts.remedy}`;
    super(text, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.remedy = facts.remedy;
  }
}

/** Compares name and code, so that it also holds between two copies of this package. */
export function isFederationError(error: unknown, code?: FederationErrorCode): error is FederationError {
  if (!(error instanceof Error) || error.name !== "FederationError" || !("code" in error)) return false;
  return code === undefined || error.code === code;
}

/** Failures that the same call, made again, may not meet. */
export function isRetryable(error: unknown): boolean {
  return isFederationError(error) && ["unreachable", "busy", "timeout"].includes(error.code);
}

/** Whatever was thrown, as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** Whatever was thrown, as a FederationError: its own kind stays, the rest becomes `code` with the original as cause. */
export function toFederationError(
  thrown: unknown,
  code: FederationErrorCode,
  attempt: string,
): FederationError {
  if (isFederationError(thrown)) return thrown;
  const error = toError(thrown);
  return new FederationError(code, `${attempt}: ${error.message}`, { cause: error });
}
