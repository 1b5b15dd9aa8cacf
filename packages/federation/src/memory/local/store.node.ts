import { requireId } from "../../config/ids.ts";
import { FederationError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/log.ts";
import type { Change, ChangeWriter } from "./changes.ts";
import { storageError } from "./folder.node.ts";
import type { Journal, JournalEntry } from "./journal.node.ts";
import { newTenant } from "./load-tenant.node.ts";
import type { LocalStore, TenantStore } from "./local-store.ts";
import type { PlacedChange } from "./placed-change.ts";
import type { Tables, TenantTables } from "./tables.node.ts";
import { Tenant } from "./tenant.ts";
import type { Commits } from "./tenant.ts";
import type { TenantState } from "./tenant-state.ts";
import { turns } from "../turns.ts";
import { nextTurn, Slice } from "./turn.ts";
import type { VectorFolder } from "./vector-folder.node.ts";

export interface StoreParts {
  readonly folder: string;
  readonly tables: Tables;
  readonly vectors: VectorFolder;
  readonly tenants: ReadonlyMap<string, TenantState>;
  /** The first sequence number that was never given. */
  readonly nextSequence: number;
  readonly openJournal: (events: {
    onDurable(entry: JournalEntry): void;
    onFailure(error: unknown): void;
  }) => Journal;
  readonly unlock: () => void;
  readonly log: Log;
  /** How much may wait for the tables before writers wait, too; default 256 MiB. */
  readonly maxWaitingBytes?: number | undefined;
}

/** A record on its way: accepted → durable → shown to readers (then its writer is told) → in the tables. */
interface Record {
  readonly entry: JournalEntry;
  readonly tenant: TenantState;
  readonly changes: readonly Change[];
  resolve(): void;
  reject(error: Error): void;
}

const changesPerTransaction = 4_096;

/*  write ─▶ journal ─▶ (durable) ─▶ publish ─▶ acknowledged ─▶ tables ─▶ cut the journal
 *  One owner of the three queues between them. After a failure to write nothing is accepted any more; reading goes on.  */
export class Store implements LocalStore, Commits {
  readonly folder: string;
  readonly #parts: StoreParts;
  readonly #journal: Journal;
  readonly #states = new Map<string, TenantState>();
  readonly #tenants = new Map<string, Tenant>();
  readonly #undurable = new Map<number, Record>();
  #durable: Record[] = [];
  #unapplied: PlacedChange<TenantTables>[] = [];
  #nextSequence: number;
  /** The last sequence number that readers see. */
  #published: number;
  #waitingBytes = 0;
  /** The last sequence number of each record that waits for the tables, and its size. */
  #records: { readonly last: number; readonly sizeBytes: number }[] = [];
  #isPublishing = false;
  #isBuilding = false;
  #applying: Promise<void> | undefined;
  /** When somebody last wanted to write. */
  #lastWriteMs = -Infinity;
  /** How many callers wait for the tables. */
  #drainsWanted = 0;
  #transactionWanted: (() => void)[] = [];
  readonly #maxWaitingBytes: number;
  #failure: FederationError | undefined;
  #closing: Promise<void> | undefined;
  #roomWanted: (() => void)[] = [];

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.folder = parts.folder;
    this.#maxWaitingBytes = parts.maxWaitingBytes ?? 268_435_456;
    this.#nextSequence = parts.nextSequence;
    this.#published = parts.nextSequence - 1;
    for (const [name, state] of parts.tenants) this.#states.set(name, state);
    this.#journal = parts.openJournal({
      onDurable: (entry) => this.#onDurable(entry),
      onFailure: (error) => this.#fail("append to the journal", error),
    });
  }

  tenant(tenantId: string): TenantStore {
    let tenant = this.#tenants.get(tenantId);
    if (tenant === undefined) {
      const name = requireId(tenantId, "the tenant of a local store");
      tenant = new Tenant(this.stateOf(name), this);
      this.#tenants.set(tenantId, tenant);
    }
    return tenant;
  }

  pending(): readonly string[] {
    return [...this.#states.values()].filter(({ entries }) => entries.size > 0).map(({ name }) => name);
  }

  stateOf(name: string): TenantState {
    let state = this.#states.get(name);
    if (state === undefined) {
      const { tables, vectors } = this.#parts;
      state = newTenant(tables, { number: this.#states.size + 1, name }, vectors);
      if (this.#isBuilding) state.index.startBuilding();
      this.#states.set(name, state);
    }
    return state;
  }

  /** Called once, when everything has been replayed: from now on graphs are built when they are due. */
  startBuilding(): void {
    this.#isBuilding = true;
    for (const { index } of this.#states.values()) index.startBuilding();
  }

  /** Waits until a further write may be accepted. Throws where none ever will. */
  async room(): Promise<void> {
    this.#refuseIfOver();
    this.#lastWriteMs = performance.now();
    while (this.#waitingBytes > this.#maxWaitingBytes && this.#failure === undefined)
      await new Promise<void>((resolve) => void this.#roomWanted.push(resolve));
    // The journal acknowledges within the turn, so a caller that awaits one write after the other would never let anybody else run.
    if (turns.isOver()) await turns.next();
    this.#refuseIfOver();
  }

  /** Accepts the changes, all or none. Resolves once they are as durable as promised and readers see them. */
  commit(tenant: TenantState, writer: ChangeWriter): Promise<void> {
    this.#refuseIfOver();
    const { body, changes } = writer.finish();
    if (changes.length === 0) return Promise.resolve();
    const entry = { sequence: this.#nextSequence, count: changes.length, body };
    this.#nextSequence += changes.length;
    changes.forEach((change, at) => tenant.accept(change, entry.sequence + at));
    this.#waitingBytes += body.length;
    return new Promise((resolve, reject) => {
      this.#undurable.set(entry.sequence, { entry, tenant, changes, resolve, reject });
      this.#journal.append(entry);
    });
  }

  /** Takes in what the journal has and the tables have not. For the opening. */
  replay(entry: JournalEntry, tenant: TenantState, changes: readonly Change[]): void {
    const applied = this.#parts.tables.applied;
    changes.forEach((change, at) => {
      if (entry.sequence + at > applied) this.#unapplied.push(tenant.publish(change, entry.sequence + at));
    });
  }

  /** Resolves when everything that readers see now is in the tables. */
  async settled(): Promise<void> {
    const { tables } = this.#parts;
    this.#drainsWanted += 1;
    try {
      for (const target = this.#published; tables.applied < target;) {
        this.#refuseIfFailed();
        await this.#nextTransaction(); // not the end of applying: others may write for ever
      }
    } finally {
      this.#drainsWanted -= 1;
    }
  }

  idsAfter({ waiting, stored }: TenantState, after: string, limit: number): readonly string[] {
    const known = this.#parts.tables.idsAfter(stored.number, after, limit);
    const horizon = known.length < limit ? undefined : known.at(-1);
    const keyOf = (id: string): Buffer => Buffer.from(id);
    const [from, to] = [keyOf(after), horizon === undefined ? undefined : keyOf(horizon)];
    const isBetween = (key: Buffer): boolean =>
      key.compare(from) > 0 && (to === undefined || key.compare(to) <= 0);
    const more = [...waiting.ids()].filter((id) => isBetween(keyOf(id)));
    if (more.length === 0) return known;
    return [...new Set([...known, ...more])]
      .map((id) => ({ id, key: keyOf(id) }))
      .sort((a, b) => a.key.compare(b.key))
      .map(({ id }) => id);
  }

  async flush(): Promise<void> {
    await this.#journal.idle();
    while (this.#isPublishing) await nextTurn();
    await this.settled();
    this.#refuseIfFailed();
    await this.#journal.idle();
    if (this.#parts.tables.applied < this.#nextSequence - 1) return; // somebody writes on: the file is in use
    this.#journal.endFile();
    await this.#journal.cut(this.#parts.tables.applied);
    this.#refuseIfFailed();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#applying;
      try {
        await Promise.all(Array.from(this.#states.values(), ({ index }) => index.close()));
        await this.#journal.close();
        await this.#parts.tables.close();
      } finally {
        this.#parts.unlock();
      }
    }
  }

  #onDurable(entry: JournalEntry): void {
    const record = this.#undurable.get(entry.sequence);
    if (record === undefined) return;
    this.#undurable.delete(entry.sequence);
    this.#durable.push(record);
    if (!this.#isPublishing) void this.#publishAll();
  }

  async #publishAll(): Promise<void> {
    this.#isPublishing = true;
    const slice = new Slice();
    for (let record = this.#durable.shift(); record !== undefined; record = this.#durable.shift()) {
      const { entry, tenant, changes } = record;
      for (let at = 0; at < changes.length; at++) {
        const change = changes[at];
        if (change === undefined) continue;
        this.#unapplied.push(tenant.publish(change, entry.sequence + at));
        if (at % 16 === 15 && slice.isOver) await slice.rest();
      }
      this.#published = entry.sequence + entry.count - 1;
      this.#records.push({ last: this.#published, sizeBytes: entry.body.length });
      record.resolve();
      void this.startApplying();
    }
    this.#isPublishing = false;
  }

  /** Tells the tables what they do not have; one such task at a time. */
  startApplying(): Promise<void> {
    this.#applying ??= this.#applyAll();
    return this.#applying;
  }

  /** Resolves when one more transaction is through, or none will be. */
  #nextTransaction(): Promise<void> {
    const through = new Promise<void>((resolve) => this.#transactionWanted.push(resolve));
    void this.startApplying().then(() => this.#transactionEnded());
    return through;
  }

  #transactionEnded(): void {
    for (const resolve of this.#transactionWanted.splice(0)) resolve();
  }

  /** One transaction after the other, each as large as the event loop bears. */
  async #applyAll(): Promise<void> {
    await nextTurn(); // whoever began it is to know of it before it can end
    while (this.#unapplied.length > 0 && this.#failure === undefined) {
      await this.#letWritersGoFirst(); // or each of many small writes would be a transaction, whose flush those behind it wait for
      const some = this.#unapplied.slice(0, changesPerTransaction);
      try {
        await this.#parts.tables.apply(some, () => this.#letWritersGoFirst());
        await this.#applied(some);
      } catch (error) {
        this.#fail("write to the tables", error);
      }
      this.#transactionEnded();
    }
    this.#applying = undefined;
  }

  /** One turn of the event loop; longer while writers come one after the other, until there is enough for a transaction. */
  async #letWritersGoFirst(): Promise<void> {
    await nextTurn();
    while (this.#isWritten() && !this.#hasEnough() && this.#drainsWanted === 0)
      await new Promise<void>((resolve) => void setTimeout(resolve, 1)); // turns would keep a processor busy
  }

  #hasEnough(): boolean {
    return this.#unapplied.length >= changesPerTransaction || this.#waitingBytes > this.#maxWaitingBytes / 2;
  }

  #isWritten(): boolean {
    return this.#undurable.size > 0 || this.#isPublishing || performance.now() - this.#lastWriteMs < 10;
  }

  /** Readers look at what waits for the tables first, and find the same there until it no longer waits: others may run between. */
  async #applied(changes: readonly PlacedChange<TenantTables>[]): Promise<void> {
    this.#unapplied.splice(0, changes.length);
    const slice = new Slice();
    let count = 0;
    for (const placed of changes) {
      if (++count % 64 === 0 && slice.isOver) await slice.rest();
      this.#states.get(placed.tenant.name)?.settle(placed);
    }
    this.#dropRecords(changes.at(-1)?.sequence ?? 0);
    void this.#journal.cut(this.#parts.tables.applied);
    for (const resolve of this.#roomWanted.splice(0)) resolve();
  }

  #dropRecords(applied: number): void {
    let count = 0;
    for (const { last, sizeBytes } of this.#records) {
      if (last > applied) break;
      this.#waitingBytes -= sizeBytes;
      count += 1;
    }
    this.#records.splice(0, count);
  }

  #refuseIfOver(): void {
    this.#refuseIfFailed();
    if (this.#closing !== undefined)
      throw new FederationError("closed", `write to ${this.folder}: the local store is closed`);
  }

  #refuseIfFailed(): void {
    const { folder } = this;
    if (this.#failure !== undefined)
      throw new FederationError("storage", `write to ${folder}: an earlier write failed`, {
        cause: this.#failure,
        remedy: "Open the store again once the cause is gone; what was acknowledged is kept",
      });
  }

  #fail(attempt: string, error: unknown): void {
    const failure = storageError(`${attempt} in ${this.folder}`, error);
    this.#failure ??= failure;
    this.#parts.log("error", "the local store stopped writing", {
      folder: this.folder,
      attempt,
      error: failure.message,
    });
    for (const record of this.#undurable.values()) record.reject(failure);
    this.#undurable.clear();
    for (const resolve of this.#roomWanted.splice(0)) resolve();
  }
}
