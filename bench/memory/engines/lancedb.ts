import { peer, type OpenEngine } from "./engine.ts";

interface Query {
  distanceType(type: string): Query;
  limit(count: number): Query;
  where(filter: string): Query;
  toArray(): Promise<{ readonly id: string }[]>;
}

interface Table {
  add(rows: readonly object[]): Promise<void>;
  vectorSearch(query: Float32Array): Query;
  createIndex(column: string, options?: object): Promise<void>;
  countRows(): Promise<number>;
}

interface Lance {
  connect(path: string): Promise<{
    createTable(name: string, rows: readonly object[]): Promise<Table>;
    openTable(name: string): Promise<Table>;
    close(): void;
  }>;
  readonly Index: { hnswSq(options: object): object; bitmap(): object };
}

/** From 10,000 rows on with its HNSW index of scalar quantised vectors, and a bitmap of owners. */
export const open: OpenEngine = async (place) => {
  const lance = peer<Lance>(place, "@lancedb/lancedb");
  const db = await lance.connect(place.folder);
  let table = place.isNew ? undefined : await db.openTable("memories");
  const use = (): Table => {
    if (table === undefined) throw new TypeError("lancedb: nothing was inserted");
    return table;
  };
  return {
    insert: async (rows) => {
      const records = rows.map(({ id, owner, content, vector }) => ({
        id,
        owner,
        content,
        vector: Array.from(vector),
      }));
      if (table === undefined) table = await db.createTable("memories", records);
      else await table.add(records);
    },
    search: async (query, count, owner) => {
      const nearest = use().vectorSearch(query).distanceType("cosine").limit(count);
      const found = await (owner === undefined ? nearest : nearest.where(`owner = '${owner}'`)).toArray();
      return found.map(({ id }) => id);
    },
    finish: async () => {
      if ((await use().countRows()) < 10_000) return;
      await use().createIndex("vector", { config: lance.Index.hnswSq({ distanceType: "cosine" }) });
      await use().createIndex("owner", { config: lance.Index.bitmap() });
    },
    close: async () => db.close(),
  };
};
