import type { Named } from "../acting.ts";
import type { CheckedMemory, CheckedVector } from "../check-memory.ts";
import type { FoundMemory, StoredMemory } from "../memory.ts";
import type { MemoryFilter } from "../memory-row.ts";
import type { OnMemory, Subscription } from "../memory-subscription.ts";
import type { Sessions } from "../sessions.ts";
import type { Coverage } from "../sync/coverage.ts";
import type { SyncControl } from "../sync-control.ts";
import type { MemorySink, MemorySource } from "../transfer/transfer-memory.ts";
import type { VectorBackend } from "../vector-backend.ts";

/** One memory to write, checked, with its embedding. */
export interface MemoryWrite {
  readonly memory: CheckedMemory;
  /** The version it must have now, 0 for none. */
  readonly ifVersion?: number | undefined;
  /** Seconds from now, by the server's clock, until it expires; comes before `expires_at`. */
  readonly ttlSeconds?: number | undefined;
  /** Where the agent has a living memory of this scope and content already, that one is answered and nothing is stored. */
  readonly skipIdentical?: boolean | undefined;
}

/** `meaning` compares embeddings, `words` looks for the words of a text, `both` joins the two orders. */
export type SearchMode = "meaning" | "words" | "both";

/** A search as backends get it: complete and checked. */
export interface SearchQuery {
  readonly mode: SearchMode;
  /** There for `words` and `both`. */
  readonly text: string | undefined;
  /** There for `meaning` and `both`. */
  readonly embedding: CheckedVector | undefined;
  /** Of the embedding; null is a model of its own. */
  readonly model: string | null;
  readonly filter: MemoryFilter;
  readonly limit: number;
  readonly minSimilarity: number | undefined;
  /** `all`: ask the server as well where this machine does not hold everything. */
  readonly coverage: "local" | "all";
  readonly signal: AbortSignal | undefined;
}

export interface SearchAnswer {
  /** Best first. */
  readonly matches: readonly FoundMemory[];
  /** `all`, or why memories of the tenant may be missing: this machine does not hold everything. */
  readonly coverage: Coverage;
}

/** Null: not known, since the server cannot be reached. */
export interface MemoryCounts {
  /** Undefined: all tenants, which only the service role can count. */
  readonly tenant_id: string | undefined;
  readonly total_memories: number;
  readonly active_sessions: number | null;
  readonly total_messages: number | null;
  readonly open_tasks: number | null;
}

/**
 * Where memories are and how they are found: in the database, on this machine, or both. All three mean the same by each call; the
 * contract test holds them to it. Arguments are checked by the adapter; calls reject with FederationError.
 */
export interface MemoryBackend {
  readonly name: VectorBackend;
  readonly sessions: Sessions;
  /** Undefined where there are not two places to keep alike. */
  readonly sync: SyncControl | undefined;
  /** How much of many memories is best given to one `storeBatch`. */
  readonly batch: BatchSize;

  /** Resolves when usable. Creates nothing on the server. */
  initialize(): Promise<void>;
  /** All of one tenant and, unless batches may be mixed, one agent; all or none. Answers in the order given. */
  store(writes: readonly MemoryWrite[], signal?: AbortSignal): Promise<readonly StoredMemory[]>;
  /** The same for many; answers the ids of what is there now. */
  storeBatch(writes: readonly MemoryWrite[], signal?: AbortSignal): Promise<readonly string[]>;
  /** Superseded ones too; undefined for what is deleted, expired, or not the caller's to read. */
  get(id: string, named: Named, signal?: AbortSignal): Promise<StoredMemory | undefined>;
  /** False where there is nothing to delete; "forbidden" for another agent's. */
  remove(id: string, named: Named, signal?: AbortSignal): Promise<boolean>;
  /** Of what the filter admits, the caller's own. */
  removeWhere(filter: MemoryFilter, named: Named, signal?: AbortSignal): Promise<number>;
  newest(
    query: {
      readonly filter: MemoryFilter;
      readonly limit: number;
      readonly signal?: AbortSignal | undefined;
    },
    named: Named,
  ): Promise<StoredMemory[]>;
  search(query: SearchQuery, named: Named): Promise<SearchAnswer>;
  /** Where memories of the tenant are read from and written to in bulk, with their clocks. */
  transfer(named: Named, signal?: AbortSignal): Promise<MemoryTransfer>;
  /** Of one tenant; undefined: of all that the credential can see, else of `known` ones. */
  counts(tenantId: string | undefined, known: readonly string[]): Promise<MemoryCounts>;
  cleanup(known: readonly string[]): Promise<number>;
  subscribe(tenantId: string, onMemory: OnMemory): Subscription;
  /** With `drain`, first waits until the server has everything. Never leaves anything running, and loses nothing. */
  shutdown(options: ShutdownOptions): Promise<void>;
}

export interface BatchSize {
  readonly maxRows: number;
  readonly maxBytes: number;
  /** Of several agents as well. */
  readonly mixed?: boolean | undefined;
  /** So many may be under way at once, and are stored in the order in which they were given; default 1. */
  readonly mostAtOnce?: number | undefined;
}

export interface MemoryTransfer {
  /** What the caller may read, tombstones and superseded ones too, nothing that has expired. */
  readonly source: MemorySource;
  /** Rejects with "forbidden" for memories whose agent the caller cannot act for, and for ids of another agent. */
  readonly sink: MemorySink;
}

export interface ShutdownOptions {
  /** Wait until the server has every change of this machine. Default false: the next start goes on with it. */
  readonly drain?: boolean | undefined;
  /** Ends the waiting; `shutdown` then rejects with its reason, everything else being done. */
  readonly signal?: AbortSignal | undefined;
}
