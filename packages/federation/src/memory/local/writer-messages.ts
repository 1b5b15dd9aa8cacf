import type { TenantNews } from "./placed-change.ts";

/** What the thread that writes the tables is given when it starts. */
export interface WriterOrder {
  /** The folder of the tables. */
  readonly path: string;
  /** What both sides look at: see `writerFlags`. */
  readonly flags: Int32Array<SharedArrayBuffer>;
}

/** Places in `flags`. lmdb-js never ends a thread that is ended within a transaction, so the end of the process waits for the transaction's. */
export const writerFlags = {
  /** 1 while a transaction is under way. */
  isWriting: 0,
  /** 1 once nothing is to be written any more: a transaction that is under way is given up. */
  isOver: 1,
} as const;

export type WriterCall =
  | {
      readonly type: "apply";
      readonly tenants: readonly TenantNews[];
      /** Placed changes, one behind the other. */
      readonly bytes: Uint8Array<ArrayBuffer>;
    }
  | { readonly type: "close" };

export type WriterAnswer =
  | {
      readonly type: "applied";
      /** For each change, how many words the content at its slot has now. */
      readonly words: Uint32Array<ArrayBuffer>;
      /** What the changes came in, for the next ones: memory that is new to a process costs more than copying into it. */
      readonly buffer: ArrayBuffer;
    }
  | { readonly type: "failed"; readonly message: string; readonly code: string | undefined };
