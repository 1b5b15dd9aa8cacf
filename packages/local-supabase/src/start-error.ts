const codes = [
  "option", // an option that cannot be meant
  "port-taken", // something else listens there
  "data-folder", // it cannot be made, read or written
  "data-folder-in-use", // another process has it
  "database", // it does not answer, or cannot carry the stack
  "migration-failed", // Postgres refused a statement of a migration
  "migration-changed", // a file that was already applied has other content now
] as const;

export type LocalSupabaseErrorCode = (typeof codes)[number];

/** Why the stack did not start. The message says what was attempted; `remedy` what its reader can do. */
export class LocalSupabaseError extends Error {
  override readonly name = "LocalSupabaseError";
  readonly code: LocalSupabaseErrorCode;
  readonly remedy: string;

  constructor(code: LocalSupabaseErrorCode, message: string, options: { remedy: string; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy;
  }
}

/** Compares name and code, so that a second copy of the package is no obstacle. */
export function isLocalSupabaseError(
  error: unknown,
  code?: LocalSupabaseErrorCode,
): error is LocalSupabaseError {
  if (!(error instanceof Error) || error.name !== "LocalSupabaseError" || !("code" in error)) return false;
  return code === undefined || error.code === code;
}

export function isLocalSupabaseErrorCode(code: string | undefined): code is LocalSupabaseErrorCode {
  return codes.some((known) => known === code);
}
