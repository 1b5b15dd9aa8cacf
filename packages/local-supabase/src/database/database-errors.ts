import { DatabaseError } from "./database.ts";

/** An error of the stack's own that has a place among Postgres' codes. */
export function databaseError(code: string, message: string, hint: string | null = null): DatabaseError {
  return new DatabaseError({ message, code, hint, detail: null, constraint: null });
}

export function swallowedFailure(): DatabaseError {
  return databaseError(
    "25P02",
    "transaction was rolled back: a statement in it had failed",
    "Let the failure of a statement reject the transaction's function.",
  );
}

export function closedError(): DatabaseError {
  return databaseError("57P01", "the database was closed");
}

/** 57014, as Postgres says it. */
export function statementTimeout(): DatabaseError {
  return databaseError("57014", "canceling statement due to statement timeout");
}

export function crashedBefore(): DatabaseError {
  return databaseError("57P02", "the embedded database crashed in an earlier statement");
}
