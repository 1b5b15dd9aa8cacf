import type { Hlc, MemoryRow } from "../memory-row.ts";

/** A server's row, with its place among the changes of the tenant. */
export interface ServerRow {
  readonly row: MemoryRow;
  readonly seq: number;
  /** Content, embedding, metadata and source were left out: whoever wrote it has them. */
  readonly isBrief?: boolean;
}

/** What the server says of one pushed row, in the order pushed. */
export type PushAnswer =
  /** `row` is what the server has now: its version, and its clock where ours was out of bounds (`clockMoved`). */
  | { readonly outcome: "applied"; readonly row: MemoryRow; readonly clockMoved: boolean }
  | { readonly outcome: "older"; readonly row: MemoryRow }
  | { readonly outcome: "refused"; readonly reason: string; readonly code: string };

export interface PullAnswer {
  /** In the order of change; tombstones too; at most one row an id. */
  readonly rows: readonly ServerRow[];
  /** Where to go on. Opaque: epoch, transaction id and sequence. */
  readonly cursor: string;
  readonly done: boolean;
  /** More has been committed, behind a transaction that is still open: it can be read when that has ended. */
  readonly isHeldBack: boolean;
  /** The given cursor means nothing here any more (another epoch, or older than the tombstones): begin anew and compare everything. */
  readonly isReset: boolean;
  readonly serverTimeMs: number;
}

export interface PullOptions {
  readonly maxRows: number;
  readonly maxBytes: number;
  /** What was written under this name may come brief. */
  readonly writer?: string | undefined;
}

/** What a replica may ask of the database, for one tenant and agent. Rejects with FederationError; `isRetryable` tells whether again helps. */
export interface SyncServer {
  push(rows: readonly MemoryRow[], signal: AbortSignal): Promise<readonly PushAnswer[]>;
  /** Undefined: from the start. */
  pull(cursor: string | undefined, options: PullOptions, signal: AbortSignal): Promise<PullAnswer>;
  read(ids: readonly string[], signal: AbortSignal): Promise<readonly ServerRow[]>;
}

export type { Hlc };
