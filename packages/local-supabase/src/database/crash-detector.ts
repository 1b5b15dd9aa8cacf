import type { PGlite } from "@electric-sql/pglite";
import { databaseError } from "./database-errors.ts";
import type { DatabaseError } from "./database.ts";

/**
 * PGlite swallows what WebAssembly throws when it runs out of stack or hits a trap: the statement seems to have
 * answered nothing, and the database is broken from then on. Seen with deeply nested JSON (100,000 brackets) and with a
 * function that calls itself. This sees such exceptions before PGlite does.
 */
export class CrashDetector {
  #crash: DatabaseError | undefined;

  constructor(pg: PGlite) {
    const postgres = pg.Module;
    const enter = postgres._PostgresMainLoopOnce;
    postgres._PostgresMainLoopOnce = () => {
      try {
        enter();
      } catch (error) {
        if (error instanceof Error && (error instanceof RangeError || error.name === "RuntimeError")) {
          this.#crash ??= describe(error);
        }
        throw error;
      }
    };
  }

  /** What the statement in which it happened answers. */
  get crash(): DatabaseError | undefined {
    return this.#crash;
  }
}

function describe(error: Error): DatabaseError {
  if (error instanceof RangeError) return databaseError("54001", "stack depth limit exceeded");
  return databaseError("XX000", `the embedded database crashed: ${error.message}`);
}
