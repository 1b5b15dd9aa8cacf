import pg from "pg";
import { databaseError } from "./database-errors.ts";
import { DatabaseError } from "./database.ts";

export function rethrow(error: unknown): never {
  throw toDatabaseError(error);
}

/** What the driver threw, as ours; whatever is no answer of Postgres is a lost connection (08006). */
export function toDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  if (error instanceof pg.DatabaseError) {
    return new DatabaseError({
      message: error.message,
      code: error.code ?? "XX000",
      detail: error.detail ?? null,
      hint: error.hint ?? null,
      constraint: error.constraint ?? null,
      position: error.position === undefined ? null : Number(error.position),
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return databaseError("08006", `connection to the database failed: ${message}`);
}
