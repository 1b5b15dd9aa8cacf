import { FederationError, toError } from "../../../runtime/errors.ts";
import type {
  AppliedRow,
  DeadLetter,
  LocalWrite,
  OutboxEntry,
  PushResult,
  TenantStore,
} from "../../local/local-store.ts";
import type { MemoryRow } from "../../memory-row.ts";
import { compareHlc } from "../hlc.ts";

/** What survives a crash of the process. */
export interface StoreData {
  readonly rows: Map<string, MemoryRow>;
  /** By id, in the order of their places. */
  readonly outbox: Map<string, OutboxEntry>;
  readonly dead: Map<number, DeadLetter>;
  readonly facts: Map<string, string>;
  nextPlace: number;
}

export function emptyStoreData(): StoreData {
  return { rows: new Map(), outbox: new Map(), dead: new Map(), facts: new Map(), nextPlace: 1 };
}

export interface MemoryTenantStoreOptions {
  readonly data?: StoreData;
  /** Waited for before a write becomes durable, and again before it is acknowledged. Default: nothing. */
  readonly disk?: () => Promise<void>;
  readonly nowIso?: () => string;
}

/**
 * A tenant's store without files, for the simulation of the sync: writes become durable one after the other, in the order in which they
 * were asked for. It searches nothing.
 */
export class MemoryTenantStore implements TenantStore {
  readonly data: StoreData;
  readonly #disk: (() => Promise<void>) | undefined;
  readonly #nowIso: () => string;
  readonly #queue: { readonly run: () => () => void }[] = [];
  #isWorking = false;
  #isCrashed = false;

  constructor({ data, disk, nowIso }: MemoryTenantStoreOptions = {}) {
    this.data = data ?? emptyStoreData();
    this.#disk = disk;
    this.#nowIso = nowIso ?? (() => new Date().toISOString());
  }

  write(writes: readonly LocalWrite[], options: { readonly outbox: boolean }): Promise<void> {
    return this.#durably(() => {
      for (const { row, expect } of writes) {
        const version = this.data.rows.get(row.id)?.version ?? 0;
        if (expect !== undefined && expect !== version)
          throw new FederationError(
            "conflict",
            `memory ${row.id}: expected version ${expect}, found ${version}`,
          );
      }
      for (const { row } of writes) {
        this.data.rows.set(row.id, row);
        if (options.outbox) this.#enqueue(row);
      }
    });
  }

  apply(rows: readonly MemoryRow[], cursor?: string): Promise<readonly AppliedRow[]> {
    return this.#durably(() => {
      const { rows: held, outbox, facts } = this.data;
      const changes: AppliedRow[] = [];
      for (const row of rows) {
        const before = held.get(row.id);
        if (before !== undefined && compareHlc(row.hlc, before.hlc) < 0) continue;
        const pending = outbox.get(row.id);
        if (pending !== undefined && compareHlc(row.hlc, pending.row.hlc) >= 0) outbox.delete(row.id);
        changes.push(...this.#put(row));
      }
      if (cursor !== undefined) facts.set("cursor", cursor);
      return changes;
    });
  }

  replace(rows: readonly MemoryRow[]): Promise<void> {
    return this.#durably(() => {
      for (const row of rows) if (!this.data.outbox.has(row.id)) this.#put(row);
    });
  }

  get(id: string): MemoryRow | undefined {
    return this.data.rows.get(id);
  }

  newest({ nowMs, limit }: { nowMs: number; limit: number }): Promise<readonly MemoryRow[]> {
    const rows = [...this.data.rows.values()].filter((row) => isLiving(row, nowMs));
    return Promise.resolve(rows.toSorted((a, b) => (a.created_at < b.created_at ? 1 : -1)).slice(0, limit));
  }

  searchMeaning(): Promise<never> {
    return Promise.reject(new FederationError("unsupported", "this store searches nothing"));
  }

  searchWords(): Promise<never> {
    return Promise.reject(new FederationError("unsupported", "this store searches nothing"));
  }

  async *rows({ afterId }: { afterId?: string } = {}): AsyncGenerator<MemoryRow> {
    const ids = [...this.data.rows.keys()].filter((id) => afterId === undefined || id > afterId).toSorted();
    for (const id of ids) {
      await Promise.resolve();
      const row = this.data.rows.get(id);
      if (row !== undefined) yield row;
    }
  }

  counts(nowMs: number): { living: number; pending: number; dead: number } {
    let living = 0;
    for (const row of this.data.rows.values()) if (isLiving(row, nowMs)) living += 1;
    return { living, pending: this.data.outbox.size, dead: this.data.dead.size };
  }

  isPending(id: string): boolean {
    return this.data.outbox.has(id);
  }

  outbox({ maxRows, maxBytes }: { maxRows: number; maxBytes: number }): readonly OutboxEntry[] {
    const entries: OutboxEntry[] = [];
    let bytes = 0;
    for (const entry of this.data.outbox.values()) {
      bytes += sizeOf(entry.row);
      if (entries.length > 0 && (entries.length >= maxRows || bytes > maxBytes)) break;
      entries.push(entry);
    }
    return entries;
  }

  settle(results: readonly PushResult[]): Promise<readonly AppliedRow[]> {
    return this.#durably(() => {
      const { outbox, dead } = this.data;
      const byPlace = new Map([...outbox.values()].map((entry) => [entry.place, entry]));
      const changes: AppliedRow[] = [];
      for (const result of results) {
        const entry = byPlace.get(result.place);
        if (entry === undefined) continue;
        outbox.delete(entry.row.id);
        if (result.outcome === "refused") {
          const { reason, code, place } = result;
          dead.set(place, { row: entry.row, place, reason, code, refused_at: this.#nowIso() });
        } else changes.push(...this.#put(result.row));
      }
      return changes;
    });
  }

  deadLetters(): readonly DeadLetter[] {
    return [...this.data.dead.values()];
  }

  retryDeadLetter(place: number): Promise<boolean> {
    return this.#durably(() => {
      const { dead, rows } = this.data;
      const letter = dead.get(place);
      if (letter === undefined) return false;
      dead.delete(place);
      const { row } = letter;
      const held = rows.get(row.id);
      if (held !== undefined && compareHlc(held.hlc, row.hlc) > 0) return true; // what was written since takes its place
      rows.set(row.id, row);
      this.#enqueue(row);
      return true;
    });
  }

  dropDeadLetter(place: number): Promise<boolean> {
    return this.#durably(() => this.data.dead.delete(place));
  }

  readFact(name: string): string | undefined {
    return this.data.facts.get(name);
  }

  writeFact(name: string, value: string): Promise<void> {
    return this.#durably(() => void this.data.facts.set(name, value));
  }

  cleanup({ nowMs, tombstonesBeforeMs }: { nowMs: number; tombstonesBeforeMs: number }): Promise<number> {
    return this.#durably(() => {
      let removed = 0;
      for (const [id, row] of this.data.rows) {
        if (this.data.outbox.has(id)) continue;
        const isOld = row.deleted_at !== null && Date.parse(row.deleted_at) < tombstonesBeforeMs;
        const hasExpired = row.expires_at !== null && Date.parse(row.expires_at) <= nowMs;
        if (!isOld && !hasExpired) continue;
        this.data.rows.delete(id);
        if (row.deleted_at === null) removed += 1;
      }
      return removed;
    });
  }

  forget(ids: readonly string[]): Promise<void> {
    return this.#durably(() => {
      for (const id of ids) if (!this.data.outbox.has(id)) this.data.rows.delete(id);
    });
  }

  #put(row: MemoryRow): AppliedRow[] {
    const before = this.data.rows.get(row.id);
    this.data.rows.set(row.id, row);
    const was = before !== undefined && before.deleted_at === null;
    const is = row.deleted_at === null;
    if (was && is) return compareHlc(before.hlc, row.hlc) === 0 ? [] : [{ change: "updated", row }];
    if (is) return [{ change: "added", row }];
    return was ? [{ change: "deleted", row }] : [];
  }

  #enqueue(row: MemoryRow): void {
    this.data.outbox.delete(row.id);
    this.data.outbox.set(row.id, { row, place: this.data.nextPlace++ });
  }

  /** As the death of its process: of what was under way the first `kept` became durable, and nobody is told of anything. */
  crash(kept: number): void {
    this.#isCrashed = true;
    for (const { run } of this.#queue.splice(0).slice(0, kept)) run();
  }

  #durably<T>(change: () => T): Promise<T> {
    const disk = this.#disk;
    if (disk === undefined) return Promise.resolve().then(change);
    return new Promise<T>((resolve, reject) => {
      const run = (): (() => void) => {
        try {
          const value = change();
          return () => resolve(value);
        } catch (error) {
          return () => reject(toError(error));
        }
      };
      this.#queue.push({ run });
      void this.#work(disk);
    });
  }

  async #work(disk: () => Promise<void>): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    while (this.#queue.length > 0) {
      await disk();
      if (this.#isCrashed) return;
      const acknowledge = this.#queue.shift()?.run();
      await disk();
      if (this.#isCrashed) return;
      acknowledge?.();
    }
    this.#isWorking = false;
  }
}

function isLiving(row: MemoryRow, nowMs: number): boolean {
  return (
    row.deleted_at === null &&
    row.superseded_by === null &&
    (row.expires_at === null || Date.parse(row.expires_at) > nowMs)
  );
}

function sizeOf({ content, embedding, metadata }: MemoryRow): number {
  return 200 + content.length + 4 * (embedding?.length ?? 0) + JSON.stringify(metadata).length;
}
