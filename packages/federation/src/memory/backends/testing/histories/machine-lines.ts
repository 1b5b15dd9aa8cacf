import type { Hlc } from "../../../memory-row.ts";
import type { WriteKind } from "./any-stack-history.ts";

/** Where a machine's memories are, and whose they are. */
export interface MachineOrders {
  readonly url: string;
  readonly anonKey: string;
  readonly accessToken: string;
  readonly agent: string;
  readonly tenant: string;
  readonly dataDir: string;
}

/** What the process of a machine is told to do, a line each. */
export type Command = { readonly n: number } & (
  | { readonly does: "open"; readonly orders: MachineOrders }
  | { readonly does: "write"; readonly id: string; readonly kind: WriteKind; readonly content: string }
  | { readonly does: "sync" }
  | { readonly does: "retry dead letters" }
  | { readonly does: "show" }
);

/** A memory, by what the histories look at. */
export interface ShownRow {
  readonly id: string;
  readonly agent_id: string;
  readonly version: number;
  readonly scope: string;
  /** Empty for what was deleted. */
  readonly content: string;
  readonly isDeleted: boolean;
  readonly hlc: Hlc;
}

/** What a machine holds once it is asked. */
export interface Shown {
  readonly rows: readonly ShownRow[];
  readonly pending: number;
  readonly refused: readonly { readonly id: string; readonly content: string | undefined }[];
}

/** What such a process says, a line each. */
export type Said =
  /** It did what `n` said. */
  | { readonly did: number; readonly updatedAt?: string; readonly shown?: Shown }
  /** It did not, or there was nothing to do. */
  | { readonly didNot: number; readonly why: string }
  /** These are about to be sent to the server, so they are durable here. */
  | { readonly sends: readonly { readonly id: string; readonly content: string; readonly hlc: Hlc }[] }
  | { readonly told: { readonly id: string; readonly version: number; readonly content: string } };
