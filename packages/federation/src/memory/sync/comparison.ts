import type { MemoryRow } from "../memory-row.ts";
import { compareHlc } from "./hlc.ts";

/** One full comparison under way: what has come, and what remains to be asked about. In memory: a restart begins anew. */
export class Comparison {
  cursor: string | undefined;
  readonly #seen = new Set<string>();
  readonly #newerHere = new Set<string>();

  /** A row of the server, beside what is held under its id. */
  saw(row: MemoryRow, held: MemoryRow | undefined): void {
    this.#seen.add(row.id);
    if (held !== undefined && compareHlc(held.hlc, row.hlc) > 0) this.#newerHere.add(row.id);
    else this.#newerHere.delete(row.id);
  }

  hasSeen(id: string): boolean {
    return this.#seen.has(id);
  }

  /** Held with a later clock than the server's: written here and not yet pushed, or lost by the server. */
  get newerHere(): readonly string[] {
    return [...this.#newerHere];
  }
}
