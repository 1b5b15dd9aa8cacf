import type { RowLayout } from "./row-layout.ts";
import type { Rows } from "./rows.ts";
import { offer, type SearchState } from "./search-state.ts";

/** Where rows are: their bytes, and the address of the first. */
export interface RowBytes {
  readonly bytes: ArrayBuffer;
  readonly start: number;
  readonly firstSlot: number;
}

/** Rows where WebAssembly SIMD is missing. */
export function createPlainRows(layout: RowLayout, firstSlot: number): Rows {
  let bytes = new ArrayBuffer(0);
  let values = new Int8Array(bytes);
  let scales = new Float32Array(bytes);
  const { strideBytes, dimensions } = layout;
  const scaleAt = (row: number): number => ((row + 1) * strideBytes) / 4 - 1;
  const where = (): RowBytes => ({ bytes, start: 0, firstSlot });
  return {
    get capacity() {
      return bytes.byteLength / strideBytes;
    },
    reserve(rows) {
      if (rows * strideBytes <= bytes.byteLength) return;
      const larger = new ArrayBuffer(rows * strideBytes);
      new Int8Array(larger).set(values);
      bytes = larger;
      values = new Int8Array(bytes);
      scales = new Float32Array(bytes);
    },
    readScale: (row) => scales[scaleAt(row)] ?? 0,
    readValues: (row) => values.subarray(row * strideBytes, row * strideBytes + dimensions),
    write(row, from, scale) {
      values.set(from, row * strideBytes);
      scales[scaleAt(row)] = scale;
    },
    clear(row) {
      scales[scaleAt(row)] = 0;
    },
    scan: (state, from, to) => scanPlainly(state, layout, where(), { from, to }),
    pick: (state, slots) => pickPlainly(state, layout, where(), slots),
  };
}

/** What the kernel's `scan` does, to the same bytes with the same result. */
export function scanPlainly(
  state: SearchState,
  layout: RowLayout,
  where: RowBytes,
  { from, to }: { from: number; to: number },
): void {
  const look = looker(state, layout, where);
  for (let row = from; row < to; row++) look(row);
}

/** What the kernel's `pick` does. */
export function pickPlainly(
  state: SearchState,
  layout: RowLayout,
  where: RowBytes,
  slots: Uint32Array,
): void {
  const look = looker(state, layout, where);
  for (const slot of slots) look(slot - where.firstSlot);
}

function looker(
  state: SearchState,
  { strideBytes, dimensions }: RowLayout,
  { bytes, start, firstSlot }: RowBytes,
): (row: number) => void {
  const values = new Int8Array(bytes, start);
  const scales = new Float32Array(bytes, start);
  const { query } = state;
  return (row) => {
    const scale = scales[((row + 1) * strideBytes) / 4 - 1] ?? 0;
    if (scale === 0) return;
    let dot = 0;
    const at = row * strideBytes;
    for (let index = 0; index < dimensions; index++) dot += (values[at + index] ?? 0) * (query[index] ?? 0);
    // Rounded where the kernel rounds.
    offer(state, Math.fround(Math.fround(dot) * scale), firstSlot + row);
  };
}
