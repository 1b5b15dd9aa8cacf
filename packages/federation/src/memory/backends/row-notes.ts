import type { TenantStore } from "../local/local-store.ts";
import type { MemoryRow } from "../memory-row.ts";

const factName = "private_agents";

/**
 * What a store's rows tell beside themselves: whose private memories it holds, kept as a fact of the store, and, once somebody asks,
 * which ids have which content. `observed` is the store through which every row must go.
 */
export class RowNotes {
  readonly observed: TenantStore;
  readonly #store: TenantStore;
  readonly #private: Set<string>;
  /** Ids by agent, scope and content hash. They may have other content by now: look before believing. */
  #byContent: Map<string, Set<string>> | undefined;
  #reading: Promise<void> | undefined;

  constructor(store: TenantStore) {
    this.#store = store;
    this.#private = new Set(JSON.parse(store.readFact(factName) ?? "[]") as string[]); // written below
    this.observed = this.#observe(store);
  }

  /** Whether rows are here that `viewer` may not read. */
  hidesFrom(viewer: string | undefined): boolean {
    if (viewer === undefined || this.#private.size === 0) return false;
    return this.#private.size > 1 || !this.#private.has(viewer);
  }

  /** Agents other than `viewer` of whom private memories are or were here. */
  others(viewer: string | undefined): readonly string[] {
    return viewer === undefined ? [] : [...this.#private].filter((agent) => agent !== viewer);
  }

  /** Ids that have, or had, this content. The first call reads every row. */
  async withContent(row: Pick<MemoryRow, "agent_id" | "scope" | "content_hash">): Promise<readonly string[]> {
    this.#reading ??= this.#readAll();
    await this.#reading;
    return [...(this.#byContent?.get(contentKey(row)) ?? [])];
  }

  async #readAll(): Promise<void> {
    this.#byContent = new Map(); // what is written from now on is noted as well
    for await (const row of this.#store.rows()) this.#noteContent(row);
  }

  async #note(rows: readonly MemoryRow[]): Promise<void> {
    let isNew = false;
    for (const row of rows) {
      this.#noteContent(row);
      if (row.scope === "tenant" || this.#private.has(row.agent_id)) continue;
      this.#private.add(row.agent_id);
      isNew = true;
    }
    if (isNew) await this.#store.writeFact(factName, JSON.stringify([...this.#private]));
  }

  #noteContent(row: MemoryRow): void {
    if (this.#byContent === undefined || row.deleted_at !== null) return;
    const key = contentKey(row);
    const ids = this.#byContent.get(key);
    if (ids === undefined) this.#byContent.set(key, new Set([row.id]));
    else ids.add(row.id);
  }

  /** Noted before it is written: after a crash there is a note too many rather than one too few. */
  #observe(store: TenantStore): TenantStore {
    const noting: Pick<TenantStore, "write" | "apply" | "replace" | "settle"> = {
      write: async (writes, options) => {
        await this.#note(writes.map(({ row }) => row));
        await store.write(writes, options);
      },
      apply: async (rows, cursor) => {
        await this.#note(rows);
        return await store.apply(rows, cursor);
      },
      replace: async (rows) => {
        await this.#note(rows);
        await store.replace(rows);
      },
      settle: async (results) => {
        await this.#note(results.flatMap((result) => (result.outcome === "refused" ? [] : [result.row])));
        return await store.settle(results);
      },
    };
    const members = new Map<string | symbol, unknown>(); // made once: every read and write comes through here
    return new Proxy(store, {
      get: (target, name) => {
        const known = members.get(name);
        if (known !== undefined) return known;
        const member: unknown = Reflect.get(Reflect.has(noting, name) ? noting : target, name);
        if (typeof member !== "function") return member;
        const bound: unknown = member.bind(target);
        members.set(name, bound);
        return bound;
      },
    });
  }
}

function contentKey({
  agent_id,
  scope,
  content_hash,
}: Pick<MemoryRow, "agent_id" | "scope" | "content_hash">): string {
  return `${agent_id}/${scope}/${content_hash}`;
}
