import type { MemoryFilter, MemoryRow } from "../memory-row.ts";

/**
 * What an acknowledged write survives. `process`: a killed process; after a power cut the store opens with a prefix of what was
 * acknowledged. `power`: it was flushed to the disk before the acknowledgement.
 */
export type Durability = "process" | "power";

/** A folder of memories on this machine, held by one process. Opened by `openLocalStore` in `open-local-store.node.ts`. */
export interface LocalStore {
  readonly folder: string;
  tenant(tenantId: string): TenantStore;
  /** Tenants with something in their outbox. */
  pending(): readonly string[];
  /** Resolves when everything acknowledged is in the tables and on the disk, and the journal is cut. */
  flush(): Promise<void>;
  /** Flushes, and gives the folder's lock back. Twice returns the same promise. */
  close(): Promise<void>;
}

/** A row to write. The caller has decided; `expect` says on what ground. */
export interface LocalWrite {
  readonly row: MemoryRow;
  /** The version that the row has now, 0 for none: anything else refuses the whole write with "conflict", naming both. */
  readonly expect?: number | undefined;
}

/** One change that the server has not acknowledged. One an id: a later write of the id takes the place of the earlier. */
export interface OutboxEntry {
  readonly row: MemoryRow;
  /** Grows with every write. */
  readonly place: number;
}

/** What the server said of an entry. */
export type PushResult =
  | { readonly outcome: "applied"; readonly place: number; readonly row: MemoryRow }
  /** The server has a newer one: here it is. */
  | { readonly outcome: "older"; readonly place: number; readonly row: MemoryRow }
  | { readonly outcome: "refused"; readonly place: number; readonly reason: string; readonly code: string };

export interface DeadLetter {
  readonly row: MemoryRow;
  readonly place: number;
  readonly reason: string;
  readonly code: string;
  /** ISO 8601. */
  readonly refused_at: string;
}

/** A row of the server that changed what this store holds. */
export interface AppliedRow {
  readonly change: "added" | "updated" | "deleted";
  readonly row: MemoryRow;
}

export interface RowMatch {
  readonly row: MemoryRow;
  /** Meaning: 1 − cosine distance. Words: the BM25 score. Best first. */
  readonly score: number;
}

export interface TenantStore {
  /** Writes of this machine, all or none; with `outbox`, an outbox entry beside each. Resolves once durable as promised. */
  write(writes: readonly LocalWrite[], options: { readonly outbox: boolean }): Promise<void>;
  /**
   * Rows of the server. A row is taken where its clock is not older than the one held, and then drops an outbox entry that it outdates,
   * or is the very write of: a late answer to that entry changes nothing any more.
   * `cursor` and rows become durable together; it is read back as the fact "cursor". Answers what changed, in the order given.
   */
  apply(rows: readonly MemoryRow[], cursor?: string): Promise<readonly AppliedRow[]>;
  /** Rows of the server, taken whatever clock is held, except where what is held has yet to reach the server. All or none. */
  replace(rows: readonly MemoryRow[]): Promise<void>;

  /** Whatever is held under the id: tombstones, superseded and expired ones too. */
  get(id: string): MemoryRow | undefined;
  /** Living, not superseded, not expired at `nowMs`; newest `created_at` first. */
  newest(query: { filter?: MemoryFilter; nowMs: number; limit: number }): Promise<readonly MemoryRow[]>;
  /** Of the embedding's dimension and the model; exact filters: a filtered search finds the best `limit` of what the filter admits. */
  searchMeaning(query: {
    embedding: Float32Array;
    model: string | null;
    filter?: MemoryFilter;
    nowMs: number;
    limit: number;
    minSimilarity?: number;
    signal?: AbortSignal;
  }): Promise<readonly RowMatch[]>;
  /** Ranked by BM25; every word of the text counts, the last one as a prefix too. */
  searchWords(query: {
    text: string;
    filter?: MemoryFilter;
    nowMs: number;
    limit: number;
    signal?: AbortSignal;
  }): Promise<readonly RowMatch[]>;
  /** Every row in the order of ids, tombstones too; reads a little at a time, so that writes go on between. */
  rows(options?: { afterId?: string }): AsyncIterable<MemoryRow>;
  counts(nowMs: number): { readonly living: number; readonly pending: number; readonly dead: number };

  /** Whether the outbox has an entry of this memory. */
  isPending(id: string): boolean;
  /** The oldest entries, up to both limits, at least one if there is any. */
  outbox(limits: { maxRows: number; maxBytes: number }): readonly OutboxEntry[];
  /** Entries whose row was written again since they were read stay. */
  settle(results: readonly PushResult[]): Promise<readonly AppliedRow[]>;
  /** In the order in which they were written. */
  deadLetters(): readonly DeadLetter[];
  /** Back into the outbox; false when there is none at that place. */
  retryDeadLetter(place: number): Promise<boolean>;
  dropDeadLetter(place: number): Promise<boolean>;

  /** Small facts of the sync engine: cursor, server time. Durable like a write. */
  readFact(name: string): string | undefined;
  writeFact(name: string, value: string): Promise<void>;

  /** Removes rows that expired before `nowMs`, for good, and tombstones older than `tombstonesBeforeMs`; resolves to how many memories. */
  cleanup(limits: { nowMs: number; tombstonesBeforeMs: number }): Promise<number>;
  /** Forgets rows without telling anybody, except those in the outbox: this machine no longer holds them. */
  forget(ids: readonly string[]): Promise<void>;
}
