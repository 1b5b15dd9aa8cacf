import { createRequire } from "node:module";

/** What is used of the optional package `usearch`: graphs of int8 vectors that are compared by cosine. */
export interface Graph {
  add(keys: BigUint64Array, rows: Int8Array, threads: number): void;
  /** Synchronous. At least the nearest 12 are looked for, and the coarse numbers it compares put them in no exact order. */
  search(query: Int8Array, count: number, threads: number): { readonly keys: BigUint64Array };
  save(path: string): void;
  /** Maps the file into memory. Only of a file whose checksum was tested: damage ends the process. */
  view(path: string): void;
}

export type CreateGraph = (dimensions: number) => Graph;

const settings = {
  metric: "cos",
  quantization: "i8",
  connectivity: 16,
  expansion_add: 64,
  expansion_search: 64,
};

/**
 * Undefined where the package is not installed, or has no binary for this machine. Required, not imported: imported in a worker thread,
 * its module for `import` never finishes loading (2.26.2 on Node 20).
 */
export function loadUsearch(): CreateGraph | undefined {
  try {
    // Its declarations ask for enums; their values are the texts above.
    const { Index } = createRequire(import.meta.url)("usearch") as { Index: new (options: object) => Graph };
    return (dimensions) => new Index({ ...settings, dimensions });
  } catch {
    return undefined;
  }
}
