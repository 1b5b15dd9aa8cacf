import type { EndFlags } from "../../../runtime/unbroken-work.node.ts";
import type { GraphFile } from "./usearch.node.ts";

/** What a thread that searches a graph is started with. */
export interface GraphOrder extends GraphFile {
  readonly flags: EndFlags;
}

/** Answered in the order in which they come. */
export type GraphCall =
  | { readonly type: "search"; readonly query: Int8Array; readonly count: number }
  | { readonly type: "close" };

/** Slots, about the nearest first. */
export type GraphAnswer = Uint32Array<ArrayBuffer>;
