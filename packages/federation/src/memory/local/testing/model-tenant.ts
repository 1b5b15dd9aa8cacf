import type { MemoryFilter, MemoryRow } from "../../memory-row.ts";
import type { AppliedRow, LocalWrite, PushResult } from "../local-store.ts";

/** What a tenant's store should hold, as plainly as it can be said: a map of rows, and everything found by looking at all of them. */
export class ModelTenant {
  readonly rows: Map<string, MemoryRow> = new Map();
  /** Ids, oldest entry first. */
  outbox: string[] = [];
  letters: { readonly row: MemoryRow; readonly place: number }[] = [];
  /** Of the last entry of each id, growing. */
  readonly #places = new Map<string, number>();
  #lastPlace = 0;
  readonly facts: Map<string, string> = new Map();

  refuses(writes: readonly LocalWrite[]): boolean {
    return writes.some(({ row, expect }) => {
      const held = this.rows.get(row.id);
      if (expect === undefined || (held?.deleted_at != null && expect === 0)) return false;
      return (held?.version ?? 0) !== expect;
    });
  }

  write(rows: readonly MemoryRow[], outbox: boolean): void {
    for (const row of rows) {
      this.rows.set(row.id, row);
      if (outbox) this.#enqueue(row.id);
    }
  }

  apply(rows: readonly MemoryRow[], cursor: string | undefined): AppliedRow[] {
    if (cursor !== undefined) this.facts.set("cursor", cursor);
    return rows.flatMap((row) => {
      const held = this.rows.get(row.id);
      if (held !== undefined && clockOf(held) > clockOf(row)) return [];
      this.#dequeue(row.id);
      return this.#take(row);
    });
  }

  replace(rows: readonly MemoryRow[]): void {
    for (const row of rows) if (!this.outbox.includes(row.id)) this.#take(row);
  }

  settle(results: readonly { readonly nth: number; readonly result: PushResult }[]): AppliedRow[] {
    const ids = [...this.outbox];
    return results.flatMap(({ nth, result }) => {
      const id = ids[nth];
      if (id === undefined) return [];
      this.#dequeue(id);
      if (result.outcome !== "refused") return this.#take(result.row);
      const row = this.rows.get(id);
      if (row !== undefined) this.letters.push({ row, place: this.#places.get(id) ?? 0 });
      this.letters.sort((a, b) => a.place - b.place);
      return [];
    });
  }

  endLetter(nth: number, how: "retry" | "drop"): void {
    const [letter] = this.letters.splice(nth, 1);
    if (letter === undefined || how === "drop") return;
    const { row } = letter;
    const held = this.rows.get(row.id);
    if (held !== undefined && clockOf(held) > clockOf(row)) return;
    this.write([row], true);
  }

  cleanup({ nowMs, tombstonesBeforeMs }: { nowMs: number; tombstonesBeforeMs: number }): number {
    let memories = 0;
    for (const row of this.rows.values()) {
      const isOver =
        row.deleted_at === null
          ? row.expires_at !== null && Date.parse(row.expires_at) <= nowMs
          : Date.parse(row.deleted_at) < tombstonesBeforeMs;
      if (!isOver || this.outbox.includes(row.id)) continue;
      this.rows.delete(row.id);
      if (row.deleted_at === null) memories += 1;
    }
    return memories;
  }

  forget(ids: readonly string[]): void {
    for (const id of ids) if (!this.outbox.includes(id)) this.rows.delete(id);
  }

  sortedRows(): MemoryRow[] {
    return [...this.rows.values()].sort((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)));
  }

  outboxRows(): (MemoryRow | undefined)[] {
    return this.outbox.map((id) => this.rows.get(id));
  }

  visible(filter: MemoryFilter, nowMs: number): MemoryRow[] {
    return [...this.rows.values()].filter(
      (row) =>
        row.deleted_at === null &&
        row.superseded_by === null &&
        (row.expires_at === null || Date.parse(row.expires_at) > nowMs) &&
        (filter.agent === undefined || row.agent_id === filter.agent) &&
        (filter.session === undefined || row.session_id === filter.session) &&
        (filter.since === undefined || row.created_at >= filter.since) &&
        (filter.until === undefined || row.created_at < filter.until) &&
        (filter.metadata === undefined || isWithin(filter.metadata, row.metadata)),
    );
  }

  nearest(
    query: Float32Array,
    rows: readonly MemoryRow[],
  ): { readonly row: MemoryRow; readonly score: number }[] {
    return rows
      .flatMap((row) =>
        row.embedding?.length === query.length ? [{ row, score: cosine(row.embedding, query) }] : [],
      )
      .sort((a, b) => b.score - a.score);
  }

  #enqueue(id: string): void {
    this.#dequeue(id);
    this.outbox.push(id);
    this.#places.set(id, ++this.#lastPlace);
  }

  #dequeue(id: string): void {
    this.outbox = this.outbox.filter((each) => each !== id);
  }

  #take(row: MemoryRow): AppliedRow[] {
    const held = this.rows.get(row.id);
    this.rows.set(row.id, row);
    const [was, is] = [held !== undefined && held.deleted_at === null, row.deleted_at === null];
    if (held !== undefined && was && is)
      return clockOf(held) === clockOf(row) ? [] : [{ change: "updated", row }];
    if (is) return [{ change: "added", row }];
    return was ? [{ change: "deleted", row }] : [];
  }
}

/** Sorts as the clock does, for the few small readings of the tests. */
function clockOf({ hlc }: MemoryRow): string {
  return `${hlc.ms} ${hlc.counter} ${hlc.writer}`;
}

/** What Postgres' documentation says of jsonb containment, word for word. */
function isWithin(part: unknown, whole: unknown): boolean {
  if (Array.isArray(part))
    return Array.isArray(whole) && part.every((wanted) => whole.some((each) => isWithin(wanted, each)));
  if (typeof part === "object" && part !== null) {
    if (typeof whole !== "object" || whole === null || Array.isArray(whole)) return false;
    const values = new Map<string, unknown>(Object.entries(whole));
    return Object.entries(part).every(
      ([key, wanted]) => values.has(key) && isWithin(wanted, values.get(key)),
    );
  }
  return part === whole;
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
  return dot / (Math.hypot(...a) * Math.hypot(...b));
}
