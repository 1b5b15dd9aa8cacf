import { join } from "node:path";
import { peer, type OpenEngine } from "./engine.ts";

interface Doc {
  readonly id: string;
  readonly vectors: { readonly embedding: Float32Array };
  readonly fields: { readonly owner: string; readonly content: string };
}

interface Collection {
  insertSync(docs: readonly Doc[]): { readonly ok: boolean; readonly message: string }[];
  querySync(query: object): Doc[];
  optimizeSync(): void;
  closeSync(): void;
}

interface Zvec {
  readonly ZVecDataType: { readonly STRING: number; readonly VECTOR_FP32: number };
  readonly ZVecIndexType: { readonly HNSW: number; readonly INVERT: number };
  readonly ZVecMetricType: { readonly COSINE: number };
  readonly ZVecCollectionSchema: new (schema: object) => object;
  ZVecCreateAndOpen(path: string, schema: object): Collection;
  ZVecOpen(path: string): Collection;
}

/** HNSW of float32 vectors, with an inverted index of owners. */
export const open: OpenEngine = async (place) => {
  const zvec = peer<Zvec>(place, "@zvec/zvec");
  const { ZVecDataType: type, ZVecIndexType: kind, ZVecMetricType: metric } = zvec;
  const path = join(place.folder, "collection");
  const schema = new zvec.ZVecCollectionSchema({
    name: "memories",
    vectors: {
      name: "embedding",
      dataType: type.VECTOR_FP32,
      dimension: place.dimensions,
      indexParams: { indexType: kind.HNSW, metricType: metric.COSINE, m: 16, efConstruction: 64 },
    },
    fields: [
      { name: "owner", dataType: type.STRING, indexParams: { indexType: kind.INVERT } },
      { name: "content", dataType: type.STRING },
    ],
  });
  const collection = place.isNew ? zvec.ZVecCreateAndOpen(path, schema) : zvec.ZVecOpen(path);
  return {
    insert: async (rows) => {
      const docs = rows.map(({ id, owner, content, vector }) => ({
        id,
        vectors: { embedding: vector },
        fields: { owner, content },
      }));
      const failed = collection.insertSync(docs).find(({ ok }) => !ok);
      if (failed !== undefined) throw new Error(failed.message);
    },
    search: async (vector, topk, owner) => {
      const filter = owner === undefined ? {} : { filter: `owner = '${owner}'` };
      const params = { indexType: kind.HNSW, ef: 100 };
      const query = { fieldName: "embedding", vector, topk, includeVector: true, params, ...filter };
      return collection.querySync(query).map(({ id }) => id);
    },
    finish: async () => collection.optimizeSync(),
    close: async () => collection.closeSync(),
  };
};
