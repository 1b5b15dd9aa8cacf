import { FederationError, toError } from "../../runtime/errors.ts";
import { newId } from "../../runtime/ids.ts";
import type { ResolvedAdapterOptions } from "../adapter-options.ts";
import type { LocalStore } from "../local/local-store.ts";
import { openLocalStore } from "../local/open-local-store.node.ts";
import type { OnMemory, Subscription } from "../memory-subscription.ts";
import type { QuietClock } from "../quiet-clock.ts";
import { SyncEngine } from "../sync/sync-engine.ts";
import type { SyncServer } from "../sync/sync-server.ts";
import { LocalMemories, type WrittenChange } from "./local-memories.node.ts";
import { RowNotes } from "./row-notes.ts";
import { storedOf } from "./stored-row.ts";

export interface LocalTenantsParts {
  readonly options: ResolvedAdapterOptions;
  readonly clock: QuietClock;
  /** Names the store where the options do not. */
  readonly storeName: () => Promise<string>;
  /** Whose memories these are: a project's URL, or `local`. A store that holds another's is refused. */
  readonly home: string;
  /** Whose session it is, as far as this process knows. */
  readonly sessionAgent: (tenantId: string, sessionId: string) => string | undefined;
  /** Undefined: there is none, and nothing is kept for one. */
  readonly server: ((tenantId: string) => SyncServer) | undefined;
  /** Whether both directions run. */
  readonly isSyncing: boolean;
  /** A tenant is there from now on. What it returns is run before its engine is closed. */
  readonly onOpen: (tenant: OpenTenant) => () => Promise<void>;
}

export interface OpenTenant {
  readonly tenantId: string;
  readonly memories: LocalMemories;
  readonly engine: SyncEngine;
  /** Told of what this process writes. */
  readonly written: Set<(change: WrittenChange) => void>;
}

const homeFact = "home";

/** The local store of an adapter, opened when the first call needs it, and what runs for each tenant in it. */
export class LocalTenants {
  readonly #parts: LocalTenantsParts;
  readonly #writer: string;
  readonly #open = new Map<string, OpenTenant>();
  readonly #closers: (() => Promise<void>)[] = [];
  #opening: Promise<LocalStore> | undefined;
  #isClosed = false;

  constructor(parts: LocalTenantsParts) {
    this.#parts = parts;
    this.#writer = `${parts.options.agentId}/${newId()}`;
  }

  /** Those that calls have named so far. */
  get opened(): readonly OpenTenant[] {
    return [...this.#open.values()];
  }

  async store(): Promise<LocalStore> {
    if (this.#isClosed) throw adapterClosed();
    const opening = (this.#opening ??= this.#openStore());
    // A failure is this call's; the next one tries again.
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
    return await opening;
  }

  /** Tenants of which something waits to be sent, also from a process before this one. None while no call has opened the store. */
  async pending(): Promise<readonly string[]> {
    return (await this.#opening?.catch(() => undefined))?.pending() ?? []; // that failure was the caller's
  }

  async of(tenantId: string): Promise<OpenTenant> {
    if (this.#isClosed) throw adapterClosed();
    const open = this.#open.get(tenantId);
    if (open !== undefined) return open;
    const store = await this.store();
    if (this.#isClosed) throw adapterClosed();
    return this.#open.get(tenantId) ?? this.#openTenant(tenantId, store);
  }

  /** Ends what runs and gives the folder back. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const { log } = this.#parts.options;
    const report = (error: unknown): void =>
      log("error", "a local store did not close", { error: toError(error) });
    for (const close of this.#closers.splice(0)) await close().catch(report);
    const store = await this.#opening?.catch(() => undefined); // that failure was the caller's
    await store?.close().catch(report);
  }

  async #openStore(): Promise<LocalStore> {
    const { options, storeName } = this.#parts;
    const { dataDir, durability, log } = options;
    return await openLocalStore({ store: options.store ?? (await storeName()), dataDir, durability, log });
  }

  #openTenant(tenantId: string, store: LocalStore): OpenTenant {
    const { options, clock, server, isSyncing, home, sessionAgent, onOpen } = this.#parts;
    const tenantStore = store.tenant(tenantId);
    const held = tenantStore.readFact(homeFact);
    if (held !== undefined && held !== home) {
      throw new FederationError(
        "conflict",
        `the local store ${store.folder} holds memories of ${held} for the tenant ${tenantId}, not of ${home}`,
        {
          remedy:
            "Name another store with the option store, and move memories with exportMemories and importMemories",
        },
      );
    }
    if (held === undefined) {
      tenantStore.writeFact(homeFact, home).catch((error: unknown) => {
        options.log("error", "a local store cannot be written", { error: toError(error) });
      });
    }
    const notes = new RowNotes(tenantStore);
    const engine = new SyncEngine({
      store: notes.observed,
      server: server?.(tenantId) ?? noServer,
      writer: this.#writer,
      isEnabled: isSyncing,
      syncIntervalMs: options.syncIntervalMs,
      requestTimeoutMs: options.requestTimeoutMs,
      syncFilter: options.syncFilter,
      maxLocalMemories: options.maxLocalMemories,
      clock,
      random: options.random,
      log: options.log,
      tracing: options.tracing,
    });
    const written = new Set<(change: WrittenChange) => void>();
    const memories = new LocalMemories({
      tenantId,
      notes,
      engine,
      hasServer: server !== undefined,
      sessionAgent: (sessionId) => sessionAgent(tenantId, sessionId),
      onWritten: (change) => {
        for (const tell of written) tell(change);
      },
    });
    const tenant: OpenTenant = { tenantId, memories, engine, written };
    this.#open.set(tenantId, tenant);
    const close = onOpen(tenant);
    this.#closers.push(async () => {
      await close();
      await engine.close();
    });
    return tenant;
  }
}

/**
 * Tells of what this process writes and all members may read. A callback that fails is logged and ends nothing; one at a time, in the
 * order of the writes.
 */
export function subscribeToWrites(
  opening: Promise<OpenTenant>,
  { onMemory, options }: { readonly onMemory: OnMemory; readonly options: ResolvedAdapterOptions },
): Subscription {
  let isClosed = false;
  let stop = (): void => undefined;
  const inTurn = callInTurn(onMemory, options);
  const begun = opening.then(
    ({ written, tenantId }) => {
      const tell = ({ change, row }: WrittenChange): void => {
        if (!isClosed && change !== "deleted" && row.scope === "tenant")
          inTurn.call(storedOf(row, tenantId), change);
      };
      if (isClosed) return;
      written.add(tell);
      stop = () => void written.delete(tell);
    },
    (error: unknown) => options.log("error", "a memory subscription failed", { error: toError(error) }),
  );
  return {
    begun,
    close: async () => {
      isClosed = true;
      stop();
      inTurn.stop();
    },
  };
}

/** Calls back one at a time; a failure is logged. Who stops it does not wait for a callback that runs: it may be the one that stops. */
export function callInTurn(
  onMemory: OnMemory,
  { log }: ResolvedAdapterOptions,
): { readonly call: OnMemory; readonly stop: () => void } {
  let last: Promise<void> = Promise.resolve();
  let isStopped = false;
  return {
    call: (memory, change) => {
      last = last
        .then(async () => void (isStopped || (await onMemory(memory, change))))
        .catch((error: unknown) =>
          log("error", "a subscribeToMemories callback failed", { error: toError(error) }),
        );
    },
    stop: () => void (isStopped = true),
  };
}

export function adapterClosed(): FederationError {
  return new FederationError("closed", "the adapter was shut down");
}

const noServer: SyncServer = {
  push: () => Promise.reject(withoutServer()),
  pull: () => Promise.reject(withoutServer()),
  read: () => Promise.reject(withoutServer()),
};

function withoutServer(): FederationError {
  return new FederationError("unsupported", "the backend agentdb has no server");
}
