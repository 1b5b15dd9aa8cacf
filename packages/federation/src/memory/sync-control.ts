import type { Listener, ListenOptions } from "../runtime/emitter.ts";
import type { StoredMemory } from "./memory.ts";
import type { SyncState, SyncSummary } from "./sync/sync-state.ts";

/** How far this machine and the server are apart, over all tenants that calls have named. */
export interface AdapterSyncState {
  /** Changes of this machine that the server has not acknowledged. */
  readonly pending: number;
  /** Changes that the server refused. */
  readonly deadLetters: number;
  /** Since the adapter was made: acknowledged by the server, and read from it. */
  readonly pushed: number;
  readonly pulled: number;
  /** Milliseconds that the oldest change has been waiting to go up or come down; 0 when nothing is. */
  readonly lagMs: number;
  /** Whether the last request to the server was answered, in each tenant. */
  readonly isOnline: boolean;
  readonly lastError: SyncState["lastError"];
  readonly tenants: Readonly<Record<string, SyncState>>;
}

/** A change that the server refused, by the id of its memory. It waits until it is retried or dropped. */
export interface RefusedMemory {
  readonly tenant_id: string;
  /** Names it for `retryDeadLetter` and `dropDeadLetter`. */
  readonly place: number;
  /** The memory as it was to be; undefined where it was to be deleted. */
  readonly memory: StoredMemory | undefined;
  readonly id: string;
  readonly reason: string;
  /** An SQLSTATE, or the code of a FederationError. */
  readonly code: string;
  /** ISO 8601. */
  readonly refused_at: string;
}

export interface AdapterEvents {
  /** Something of the sync's state is different. */
  sync: AdapterSyncState;
  /** The server refused changes: they are dead letters now. */
  refused: { readonly memories: readonly RefusedMemory[] };
}

/** What the hybrid backend offers beside memories. */
export interface SyncControl {
  readonly state: AdapterSyncState;
  on<K extends keyof AdapterEvents>(
    event: K,
    listener: Listener<AdapterEvents[K]>,
    options?: ListenOptions,
  ): () => void;
  /** A round in both directions, now, of one tenant or of all that calls have named. */
  sync(options: {
    readonly tenantId?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<SyncSummary>;
  deadLetters(tenantId: string): Promise<readonly RefusedMemory[]>;
  retryDeadLetter(tenantId: string, place: number): Promise<boolean>;
  dropDeadLetter(tenantId: string, place: number): Promise<boolean>;
}
