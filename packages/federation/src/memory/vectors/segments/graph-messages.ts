import type { GraphFile } from "./usearch.node.ts";

/** What a thread that searches a graph is started with. */
export type GraphOrder = GraphFile;

/** Answered in the order in which they come. */
export type GraphCall =
  | { readonly type: "search"; readonly query: Int8Array; readonly count: number }
  | { readonly type: "close" };

/** Slots, about the nearest first. */
export type GraphAnswer = Uint32Array<ArrayBuffer>;
