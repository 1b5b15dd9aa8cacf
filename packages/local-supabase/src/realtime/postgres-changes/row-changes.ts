import type { Credential } from "../../keys/credential.ts";
import type { RowReceiver } from "./subscriptions.ts";

/** Postgres changes, as a channel sees them. */
export interface RowChanges {
  /**
   * Checks entries and has their tables captured: changes of transactions that begin after this resolved are seen, by
   * what attaches at once. Never rejects; one entry that is no good fails all. What is prepared is released.
   */
  prepare(
    entries: readonly RowEntry[],
    credential: Credential,
  ): Promise<PreparedRows | { readonly problem: string }>;
  close(): Promise<void>;
}

/** An entry of `postgres_changes` as the client sent it, and the id it was answered with. */
export interface RowEntry {
  readonly entry: Readonly<Record<string, unknown>>;
  readonly id: number;
}

export interface PreparedRows {
  /** From now on the receiver gets what its entries ask for and its credential may see. */
  attach(receiver: RowReceiver): void;
  /** Rows are what the new credential may see from now on. Answers why it may not go on, if so. */
  renew(credential: Credential): Promise<string | undefined>;
  release(): void;
}
