import type { FederationErrorCode } from "../../runtime/errors.ts";
import type { DeadLetter } from "../local/local-store.ts";
import type { MemoryRow } from "../memory-row.ts";
import type { Coverage } from "./coverage.ts";

/** How far a replica and its server are apart. */
export interface SyncState {
  /** Switched off, or what pulling is at (position.ts). */
  readonly phase: "off" | "loading" | "comparing" | "live";
  /** Whether the last request was answered. */
  readonly isOnline: boolean;
  /** Changes of this machine that the server has not acknowledged. */
  readonly pending: number;
  readonly deadLetters: number;
  /** Rows since this process began: acknowledged by the server, and read from it. */
  readonly pushed: number;
  readonly pulled: number;
  /** What sending or reading last failed with, the later of the two; none since that went well. */
  readonly lastError:
    | { readonly code: FederationErrorCode | "unknown"; readonly message: string; readonly atMs: number }
    | undefined;
  /** Milliseconds since which something has been waiting to go up or come down; 0 when nothing is. */
  readonly lagMs: number;
  /** When everything that the server had was last here, by this machine's clock. */
  readonly pulledAtMs: number | undefined;
  readonly coverage: Coverage;
  /** The server's, opaque. */
  readonly cursor: string | undefined;
}

/** What one forced round did. */
export interface SyncSummary {
  readonly pushed: number;
  readonly refused: number;
  readonly pulled: number;
  /**
   * Something was committed behind a transaction that is open in the database for more than 2 s: it comes by itself when that has ended.
   */
  readonly isHeldBack: boolean;
  /** Still to be pushed: written meanwhile. */
  readonly pending: number;
  readonly coverage: Coverage;
}

/** A memory as the server now has it. A deleted one is a tombstone. */
export interface SyncChange {
  readonly change: "added" | "updated" | "deleted";
  readonly row: MemoryRow;
}

export interface SyncEvents {
  /** Something in the state is different; `lagMs` alone is no reason. */
  state: SyncState;
  /** The server will not have these rows; they wait as dead letters. */
  refused: { readonly letters: readonly DeadLetter[] };
  /**
   * Changes in the order of the server, this machine's own as well, when they are readable here: each once while it runs, and after an
   * absence each changed memory once, as it is now. What was there when the store was new is not told.
   */
  changes: { readonly changes: readonly SyncChange[] };
}
