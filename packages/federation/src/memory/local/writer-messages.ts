import type { EndFlags } from "../../runtime/unbroken-work.node.ts";
import type { TenantNews } from "./placed-change.ts";

/** What the thread that writes the tables is given when it starts. */
export interface WriterOrder {
  readonly flags: EndFlags;
}

/** Of one store, which has a number; one call at a time. */
export type WriterCall =
  | {
      readonly type: "apply";
      readonly store: number;
      /** The folder of its tables, which the first call opens. */
      readonly path: string;
      readonly tenants: readonly TenantNews[];
      /** Placed changes, one behind the other. */
      readonly bytes: Uint8Array<ArrayBuffer>;
    }
  | { readonly type: "close"; readonly store: number };

export type WriterAnswer =
  | {
      readonly type: "applied";
      readonly store: number;
      /** For each change, how many words the content at its slot has now. */
      readonly words: Uint32Array<ArrayBuffer>;
      /** What the changes came in, for the next ones: memory that is new to a process costs more than copying into it. */
      readonly buffer: ArrayBuffer;
    }
  | { readonly type: "closed"; readonly store: number }
  | {
      readonly type: "failed";
      readonly store: number;
      readonly message: string;
      readonly code: string | undefined;
    };
