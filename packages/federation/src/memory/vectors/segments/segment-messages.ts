import type { EndFlags } from "../../../runtime/unbroken-work.node.ts";

/** What is to be built, and where. */
export interface BuildOrder {
  readonly folder: string;
  readonly number: number;
  readonly dimensions: number;
  /** All rows are of `slots` slots from the first on. */
  readonly firstSlot: number;
  readonly slots: number;
}

/** What a building thread is started with. */
export interface ThreadOrder extends BuildOrder {
  readonly flags: EndFlags;
}

export type RowBatch =
  | {
      readonly type: "rows";
      readonly slots: Uint32Array;
      readonly hashes: Uint32Array;
      /** One row after the other. */
      readonly values: Int8Array;
    }
  /** No more rows: make the files. */
  | { readonly type: "seal" }
  /** Nothing is wanted any more. */
  | { readonly type: "stop" };

/** `added`: ready for a batch. `sealed`: the segment is on the disk. */
export type BuildReport = { readonly type: "added" } | { readonly type: "sealed" };
