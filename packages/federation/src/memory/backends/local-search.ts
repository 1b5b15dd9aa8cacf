import type { FoundMemory, StoredMemory } from "../memory.ts";
import type { RowMatch } from "../local/local-store.ts";
import type { MemoryFilter, MemoryRow } from "../memory-row.ts";
import { fuseRanks } from "./fusion.ts";
import type { SearchQuery } from "./memory-backend.ts";
import type { RowNotes } from "./row-notes.ts";
import { float32Of, storedOf } from "./stored-row.ts";
import { isVisible } from "./viewer.ts";

export interface LocalSearchParts {
  readonly tenantId: string;
  readonly notes: RowNotes;
  /** Milliseconds, by the server's clock as far as it is known. */
  readonly now: () => number;
}

/** How deep each list of a search by both is read, as the database does: what is far down in one may be the best of both. */
const fusedDepth = (limit: number): number => Math.min(10_000, Math.max(100, 4 * limit));

/** Finds and counts what one viewer may read of a tenant's store. */
export class LocalSearch {
  readonly #parts: LocalSearchParts;

  constructor(parts: LocalSearchParts) {
    this.#parts = parts;
  }

  async newest(
    {
      filter,
      limit,
      signal,
    }: { readonly filter: MemoryFilter; readonly limit: number; readonly signal?: AbortSignal | undefined },
    viewer: string | undefined,
  ): Promise<StoredMemory[]> {
    const { notes, tenantId, now } = this.#parts;
    const nowMs = now();
    const rows = await this.#visible(
      limit,
      viewer,
      (row: MemoryRow) => row,
      (count) => {
        signal?.throwIfAborted();
        return notes.observed.newest({ filter, nowMs, limit: count });
      },
    );
    return rows.map((row) => storedOf(row, tenantId));
  }

  async search(query: SearchQuery, viewer: string | undefined): Promise<FoundMemory[]> {
    const { mode, limit } = query;
    if (mode === "meaning")
      return (await this.#meaning(query, limit, viewer)).map((match) => this.#found(match, match.score));
    if (mode === "words")
      return (await this.#words(query, limit, viewer)).map((match) => this.#found(match, null));
    const depth = fusedDepth(limit);
    const [meant, said] = await Promise.all([
      this.#meaning(query, depth, viewer),
      this.#words(query, depth, viewer),
    ]);
    const byId = new Map([...said, ...meant].map((match) => [match.row.id, match]));
    const similarity = new Map(meant.map(({ row, score }) => [row.id, score]));
    const idsOf = (matches: readonly RowMatch[]): string[] => matches.map(({ row }) => row.id);
    return fuseRanks([idsOf(meant), idsOf(said)])
      .slice(0, limit)
      .flatMap(({ key, score }) => {
        const match = byId.get(key);
        return match === undefined ? [] : [this.#found({ ...match, score }, similarity.get(key) ?? null)];
      });
  }

  /** How many living memories the viewer may read. */
  async count(viewer: string | undefined): Promise<number> {
    const { notes, now } = this.#parts;
    const nowMs = now();
    let count = notes.observed.counts(nowMs).living;
    for (const agent of notes.others(viewer)) {
      const theirs = await notes.observed.newest({
        filter: { agent },
        nowMs,
        limit: Number.MAX_SAFE_INTEGER,
      });
      count -= theirs.filter((row) => !isVisible(row, viewer)).length;
    }
    return count;
  }

  async #meaning(query: SearchQuery, limit: number, viewer: string | undefined): Promise<RowMatch[]> {
    const { embedding = new Float32Array(), model, filter, minSimilarity, signal } = query;
    const asked = {
      embedding: float32Of(embedding),
      model,
      filter,
      nowMs: this.#parts.now(),
      ...(minSimilarity === undefined ? {} : { minSimilarity }),
      ...(signal === undefined ? {} : { signal }),
    };
    const { observed } = this.#parts.notes;
    return await this.#visible(limit, viewer, rowOfMatch, (count) =>
      observed.searchMeaning({ ...asked, limit: count }),
    );
  }

  async #words(query: SearchQuery, limit: number, viewer: string | undefined): Promise<RowMatch[]> {
    const { text = "", filter, signal } = query;
    const asked = { text, filter, nowMs: this.#parts.now(), ...(signal === undefined ? {} : { signal }) };
    const { observed } = this.#parts.notes;
    return await this.#visible(limit, viewer, rowOfMatch, (count) =>
      observed.searchWords({ ...asked, limit: count }),
    );
  }

  /**
   * The first `limit` that the viewer may read. Where the store holds others' private memories, more is asked for until there are
   * enough or no more, so the answer is as if those were not there.
   */
  async #visible<T>(
    limit: number,
    viewer: string | undefined,
    rowOf: (each: T) => MemoryRow,
    read: (count: number) => Promise<readonly T[]>,
  ): Promise<T[]> {
    if (!this.#parts.notes.hidesFrom(viewer)) return [...(await read(limit))];
    for (let count = limit; ; count *= 2) {
      const found = await read(count);
      const visible = found.filter((each) => isVisible(rowOf(each), viewer));
      if (visible.length >= limit || found.length < count) return visible.slice(0, limit);
    }
  }

  #found({ row, score }: RowMatch, similarity: number | null): FoundMemory {
    // Made for this, so it may be added to: a copy with two fields more takes eight times as long as all of it.
    return Object.assign(storedOf(row, this.#parts.tenantId), { similarity, score });
  }
}

function rowOfMatch({ row }: RowMatch): MemoryRow {
  return row;
}
