import type { TenantStore } from "../local/local-store.ts";

/** What the engine remembers in the store, by name. */
export type FactName =
  /** Where pulling stands (position.ts); written by `apply` together with the rows. */
  | "cursor"
  /** Up to where listeners were told of changes. */
  | "told"
  /** Ids that a comparison changed and listeners were not told of. */
  | "untold"
  /** Tombstones of what was let go because the server no longer has it, until listeners were told. */
  | "gone"
  /** Ids of which this replica may hold something other than the server does. */
  | "doubt"
  /** No reading of the write clock was later than this many milliseconds. */
  | "clock"
  /** The server's time less this machine's, in milliseconds. */
  | "server_offset"
  /** `created_at` below which memories were not kept, in milliseconds. */
  | "floor";

export type Facts = Pick<TenantStore, "readFact" | "writeFact">;

export function readNumber(facts: Facts, name: FactName): number | undefined {
  const text = facts.readFact(name);
  const value = text === undefined || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** A fact that holds a list of ids. */
export function readIds(facts: Facts, name: FactName): string[] {
  const text = facts.readFact(name);
  if (text === undefined || text === "") return [];
  const ids: unknown = JSON.parse(text);
  return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
}
