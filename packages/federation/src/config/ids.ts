import { FederationError } from "../runtime/errors.ts";
import { describe } from "../runtime/json.ts";

const idPattern = /^[A-Za-z0-9._@-]{1,128}$/;

/** Whether `value` can name a tenant or an agent: 1 to 128 of `A-Z a-z 0-9 . _ @ -`. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && idPattern.test(value);
}

/** Returns the id, or throws FederationError "invalid_argument" that says what was found. */
export function requireId(value: unknown, what: string): string {
  if (isId(value)) return value;
  throw new FederationError(
    "invalid_argument",
    `${what}: expected 1 to 128 of A-Z a-z 0-9 . _ @ -, got ${describe(value)}`,
  );
}
