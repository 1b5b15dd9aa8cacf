/**
 * The one thing the rest of the stack knows about a database. Two implementations: PGlite (embedded) and a `pg` pool
 * (native Postgres); `backend.ts` puts either of them behind a worker thread.
 *
 * Values cross this boundary as Postgres prints and reads them: text or null. Nobody below interprets a type, so a
 * bigint, a numeric or a vector comes out exactly as it went in.
 */
export type SqlText = string | null;

export interface QueryResult {
  /** Column names, in order. */
  readonly columns: readonly string[];
  /** One array per row, one cell per column. */
  readonly rows: readonly (readonly SqlText[])[];
  /** Rows inserted, updated or deleted; for a select, rows returned. */
  readonly affectedRows: number;
}

export interface Statement {
  readonly text: string;
  readonly params: readonly SqlText[];
}

export interface Session {
  /** One statement, parameters as `$1`, `$2`, … whose types Postgres infers. Rejects with DatabaseError. */
  query(sql: string, params?: readonly SqlText[]): Promise<QueryResult>;
}

export interface Database extends Session {
  /** "embedded" is PGlite: one connection, nothing runs beside anything else. */
  readonly kind: "embedded" | "native";
  /** Commits when `run` resolves, rolls back when it rejects. Do not use the session after that. */
  transaction<T>(run: (session: Session) => Promise<T>): Promise<T>;
  /** One after the other in a transaction of their own, in one round where the database takes them so; their results. */
  batch(statements: readonly Statement[]): Promise<readonly QueryResult[]>;
  /** Many statements without parameters, outside a transaction of ours. */
  exec(sql: string): Promise<void>;
  /** NOTIFY payloads of `channel`, in commit order. Resolves to the function that stops listening. */
  listen(channel: string, onPayload: (payload: string) => void): Promise<() => Promise<void>>;
  /** Waits for what runs, then frees everything. Calling it twice returns the same promise. */
  close(): Promise<void>;
}

/** What Postgres said. `code` is the SQLSTATE. Survives a thread boundary as plain data (`toData`, `fromData`). */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  readonly code: string;
  readonly detail: string | null;
  readonly hint: string | null;
  readonly constraint: string | null;
  /** Where in the statement, in characters from 1; null where Postgres did not say. */
  readonly position: number | null;

  constructor(facts: DatabaseErrorData) {
    super(facts.message);
    this.code = facts.code;
    this.detail = facts.detail;
    this.hint = facts.hint;
    this.constraint = facts.constraint;
    this.position = facts.position ?? null;
  }

  toData(): DatabaseErrorData {
    const { message, code, detail, hint, constraint, position } = this;
    return { message, code, detail, hint, constraint, position };
  }
}

export interface DatabaseErrorData {
  readonly message: string;
  readonly code: string;
  readonly detail: string | null;
  readonly hint: string | null;
  readonly constraint: string | null;
  readonly position?: number | null;
}
