import type { SearchState } from "./search-state.ts";

/** Rows of quantised vectors beside each other, numbered from 0; their slots begin at `firstSlot`. */
export interface Rows {
  /** How many rows there is room for before `reserve` must make more. */
  readonly capacity: number;
  reserve(rows: number): void;
  /** The scale of an empty row is 0. */
  readScale(row: number): number;
  readValues(row: number): Int8Array;
  /** `values` are signed bytes. */
  write(row: number, values: Uint8Array, scale: number): void;
  clear(row: number): void;
  /** Offers the rows from `from` up to `to` to the search. */
  scan(state: SearchState, from: number, to: number): void;
  /** The same for the rows with these slots. */
  pick(state: SearchState, slots: Uint32Array): void;
}
