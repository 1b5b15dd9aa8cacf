import type { EndFlags } from "../../runtime/unbroken-work.node.ts";
import type { TenantNews } from "./placed-change.ts";

/** What the thread that writes the tables is given when it starts. */
export interface WriterOrder {
  /** The folder of the tables. */
  readonly path: string;
  readonly flags: EndFlags;
}

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
