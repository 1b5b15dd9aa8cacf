import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import type { SearchGraph } from "./segment.ts";

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

/** Maps a sealed graph where everything else is. */
export function openGraph(createGraph: CreateGraph, { path, dimensions }: GraphFile): SearchGraph {
  const graph = mapGraph(createGraph, { path, dimensions });
  return {
    search: (query, count) => slotsOf(graph.search(query, count, 1).keys),
    close: () => Promise.resolve(), // with the last use of it
  };
}

/** Throws where the file cannot be read; `view` of such a file (2.26.2) closes the process' standard input. */
export function mapGraph(createGraph: CreateGraph, { path, dimensions }: GraphFile): Graph {
  accessSync(path, constants.R_OK);
  const graph = createGraph(dimensions);
  graph.view(path);
  return graph;
}

/** A file whose checksum was tested. */
export interface GraphFile {
  readonly path: string;
  readonly dimensions: number;
}

/** Where in eight bytes the lower four are. */
const lowHalf = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 0 : 1;

/** Slots are below 2^32: half of each key is read in place, since a bigint for each would take as long as a tenth of the search. */
export function slotsOf(keys: BigUint64Array): Uint32Array<ArrayBuffer> {
  const halves = new Uint32Array(keys.buffer, keys.byteOffset, keys.length * 2);
  const slots = new Uint32Array(keys.length);
  for (let at = 0; at < slots.length; at++) slots[at] = halves[at * 2 + lowHalf]!; // within its length
  return slots;
}
