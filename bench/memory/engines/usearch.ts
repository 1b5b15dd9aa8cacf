import { existsSync } from "node:fs";
import { join } from "node:path";
import { peer, type OpenEngine } from "./engine.ts";

interface Index {
  add(keys: BigUint64Array, rows: Float32Array, threads: number): void;
  search(query: Float32Array, count: number, threads: number): { readonly keys: BigUint64Array };
  save(path: string): void;
  load(path: string): void;
}

/** The graph alone, of int8 vectors: it keeps numbers and no rows, filters nothing, and writes when told to. */
export const open: OpenEngine = async (place) => {
  const { Index } = peer<{ Index: new (options: object) => Index }>(place, "usearch");
  const index = new Index({
    dimensions: place.dimensions,
    metric: "cos",
    quantization: "i8",
    connectivity: 16,
    expansion_add: 64,
    expansion_search: 64,
  });
  const path = join(place.folder, "index.usearch");
  if (existsSync(path)) index.load(path);
  return {
    insert: async (rows) => {
      const vectors = new Float32Array(rows.length * place.dimensions);
      rows.forEach(({ vector }, at) => vectors.set(vector, at * place.dimensions));
      index.add(
        BigUint64Array.from(rows, ({ id }) => BigInt(id.slice(-8))),
        vectors,
        1,
      );
    },
    search: async (query, count, owner) => {
      if (owner !== undefined) throw new TypeError("usearch filters nothing");
      return Array.from(
        index.search(query, count, 1).keys,
        (key) => `memory-${String(key).padStart(8, "0")}`,
      );
    },
    close: async () => index.save(path),
  };
};
