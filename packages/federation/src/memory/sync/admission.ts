import type { TenantStore } from "../local/local-store.ts";
import type { MemoryRow } from "../memory-row.ts";
import { admits, type SyncFilter } from "./coverage.ts";
import { readNumber } from "./facts.ts";

export interface AdmissionParts {
  readonly store: TenantStore;
  readonly filter: SyncFilter;
  readonly maxLocalMemories: number;
}

// Making room reads every row, so it makes room for more than one.
const keptShare = 0.95;
const forgetAtOnce = 500;

/** What this replica takes in of what the server has, and what it lets go when there is too much of it. */
export class Admission {
  readonly #parts: AdmissionParts;
  #floorMs: number | undefined;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#floorMs = readNumber(parts.store, "floor");
  }

  /** Memories created before this were not all kept. */
  get floorMs(): number | undefined {
    return this.#floorMs;
  }

  /** What is held is kept up to date; what is new comes in where the filter and the limit admit it. A tombstone of nothing is nothing. */
  takes(row: MemoryRow): boolean {
    if (this.#parts.store.get(row.id) !== undefined) return true;
    return row.deleted_at === null && this.wants(row);
  }

  wants(row: MemoryRow): boolean {
    if (!admits(this.#parts.filter, row)) return false;
    return this.#floorMs === undefined || Date.parse(row.created_at) >= this.#floorMs;
  }

  /** Everything is about to be read again, so what was not kept may come. */
  async reopen(): Promise<void> {
    if (this.#floorMs === undefined) return;
    this.#floorMs = undefined;
    await this.#parts.store.writeFact("floor", "");
  }

  /**
   * The newest of what a search may find stay, and what is in the outbox. What is superseded or has expired counts for nothing, and goes
   * where it is older than those. Resolves to whether anything went.
   */
  async makeRoom(nowMs: number): Promise<boolean> {
    const { store, maxLocalMemories } = this.#parts;
    const { living } = store.counts(nowMs);
    if (living <= maxLocalMemories) return false;
    const keep = Math.floor(maxLocalMemories * keptShare);
    const floorMs = await this.#newestOnes(keep, nowMs);
    // Said before it happens, so that nobody takes what is left for everything.
    this.#floorMs = Math.max(floorMs, this.#floorMs ?? -Infinity);
    await store.writeFact("floor", String(this.#floorMs));
    await this.#forgetBelow(this.#floorMs, { excess: living - keep, nowMs });
    return true;
  }

  /** When the last of the newest `keep` was created. */
  async #newestOnes(keep: number, nowMs: number): Promise<number> {
    const times: number[] = [];
    for await (const row of this.#parts.store.rows()) {
      if (isLiving(row, nowMs)) times.push(Date.parse(row.created_at));
    }
    const sorted = Float64Array.from(times).sort(); // numbers: several times faster than an array of them
    return sorted[Math.max(0, sorted.length - Math.max(1, keep))] ?? 0;
  }

  /** Those below go, and of those created at that very moment as many as it takes. */
  async #forgetBelow(
    floorMs: number,
    { excess, nowMs }: { readonly excess: number; readonly nowMs: number },
  ): Promise<void> {
    const { store } = this.#parts;
    const below: string[] = [];
    const atFloor: string[] = [];
    let left = excess;
    for await (const row of store.rows()) {
      if (row.deleted_at !== null) continue;
      const createdMs = Date.parse(row.created_at);
      if (createdMs < floorMs) {
        below.push(row.id);
        if (isLiving(row, nowMs)) left -= 1;
      } else if (createdMs === floorMs && isLiving(row, nowMs)) atFloor.push(row.id);
    }
    const gone = [...below, ...atFloor.slice(0, Math.max(0, left))];
    for (let at = 0; at < gone.length; at += forgetAtOnce)
      await store.forget(gone.slice(at, at + forgetAtOnce));
  }
}

/** As a store counts them. */
function isLiving({ deleted_at, superseded_by, expires_at }: MemoryRow, nowMs: number): boolean {
  const isThere = deleted_at === null && superseded_by === null;
  return isThere && (expires_at === null || Date.parse(expires_at) > nowMs);
}
