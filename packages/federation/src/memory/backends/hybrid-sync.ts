import type { Emitter, Listener, ListenOptions } from "../../runtime/emitter.ts";
import { FederationError } from "../../runtime/errors.ts";
import type { DeadLetter } from "../local/local-store.ts";
import type { AdapterEvents, AdapterSyncState, RefusedMemory, SyncControl } from "../sync-control.ts";
import type { SyncSummary, SyncState } from "../sync/sync-state.ts";
import type { OpenTenant } from "./local-tenants.node.ts";
import { storedOf } from "./stored-row.ts";

export interface HybridSyncParts {
  /** Tenants that calls have named, or of which something waited to be sent. */
  readonly opened: () => readonly OpenTenant[];
  /** Opens tenants of which something waits to be sent, where that may be. */
  readonly openPending: () => Promise<void>;
  /** Rejects with "forbidden" for tenants that are none of the caller's. */
  readonly open: (tenantId: string) => Promise<OpenTenant>;
  readonly emitter: Emitter<AdapterEvents>;
}

/** The sync engines of all tenants of a store, as one. */
export class HybridSync implements SyncControl {
  readonly #parts: HybridSyncParts;

  constructor(parts: HybridSyncParts) {
    this.#parts = parts;
  }

  /** Tells of what happens in a tenant from now on. */
  follow({ tenantId, engine }: OpenTenant): void {
    const { emitter } = this.#parts;
    engine.on("state", () => void emitter.emit("sync", this.state));
    engine.on("refused", ({ letters }) => {
      emitter.emit("refused", { memories: letters.map((letter) => refusedOf(letter, tenantId)) });
    });
  }

  get state(): AdapterSyncState {
    const opened = this.#parts.opened().map(({ tenantId, engine }) => [tenantId, engine.state] as const);
    const states = opened.map(([, state]) => state);
    const sum = (valueOf: (state: SyncState) => number): number =>
      states.reduce((total, each) => total + valueOf(each), 0);
    return {
      pending: sum((each) => each.pending),
      deadLetters: sum((each) => each.deadLetters),
      pushed: sum((each) => each.pushed),
      pulled: sum((each) => each.pulled),
      lagMs: Math.max(0, ...states.map((each) => each.lagMs)),
      isOnline: states.length > 0 && states.every((each) => each.isOnline),
      lastError: states.flatMap((each) => each.lastError ?? []).toSorted((a, b) => b.atMs - a.atMs)[0],
      tenants: Object.fromEntries(opened),
    };
  }

  on<K extends keyof AdapterEvents>(
    event: K,
    listener: Listener<AdapterEvents[K]>,
    options?: ListenOptions,
  ): () => void {
    return this.#parts.emitter.on(event, listener, options);
  }

  async sync({
    tenantId,
    signal,
  }: {
    readonly tenantId?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<SyncSummary> {
    const { opened, openPending, open } = this.#parts;
    if (tenantId === undefined) await openPending();
    const wanted = tenantId === undefined ? opened() : [await open(tenantId)];
    if (wanted.length === 0) {
      throw new FederationError("invalid_state", "sync: no tenant is open", {
        remedy: "Name the tenant, or call something that names it first",
      });
    }
    const summaries = await Promise.all(wanted.map(({ engine }) => engine.sync({ signal })));
    const sum = (name: "pushed" | "refused" | "pulled" | "pending"): number =>
      summaries.reduce((total, each) => total + each[name], 0);
    return {
      pushed: sum("pushed"),
      refused: sum("refused"),
      pulled: sum("pulled"),
      isHeldBack: summaries.some((each) => each.isHeldBack),
      pending: sum("pending"),
      coverage: summaries.map((each) => each.coverage).find((each) => each !== "all") ?? "all",
    };
  }

  async deadLetters(tenantId: string): Promise<readonly RefusedMemory[]> {
    const { memories } = await this.#parts.open(tenantId);
    return memories.store.deadLetters().map((letter) => refusedOf(letter, tenantId));
  }

  async retryDeadLetter(tenantId: string, place: number): Promise<boolean> {
    const { memories, engine } = await this.#parts.open(tenantId);
    const isThere = await memories.store.retryDeadLetter(place);
    if (isThere) engine.wrote();
    return isThere;
  }

  async dropDeadLetter(tenantId: string, place: number): Promise<boolean> {
    const { memories, engine } = await this.#parts.open(tenantId);
    const isThere = await memories.store.dropDeadLetter(place);
    if (isThere) engine.hint(); // what the server has instead comes
    return isThere;
  }
}

function refusedOf({ row, place, reason, code, refused_at }: DeadLetter, tenantId: string): RefusedMemory {
  const memory = row.deleted_at === null ? storedOf(row, tenantId) : undefined;
  return { tenant_id: tenantId, id: row.id, place, memory, reason, code, refused_at };
}
