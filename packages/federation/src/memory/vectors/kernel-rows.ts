import { openKernel, type Looking } from "./kernel.ts";
import { pickPlainly, scanPlainly, type RowBytes } from "./plain-rows.ts";
import {
  listAt,
  longestList,
  pageBytes,
  queryAt,
  rowsAt,
  scoresAt,
  slotsAt,
  type RowLayout,
} from "./row-layout.ts";
import type { Rows } from "./rows.ts";
import { fitsKernel, type SearchState } from "./search-state.ts";

/** Rows in a WebAssembly memory of at most `mostBytes`, searched by the kernel. */
export function createKernelRows(layout: RowLayout, firstSlot: number, mostBytes: number): Rows {
  const pages = { initial: rowsAt / pageBytes, maximum: Math.floor(mostBytes / pageBytes) };
  const { kernel, memory } = openKernel(pages);
  const { strideBytes, valueBytes, firstBytes, halfBytes, dimensions } = layout;
  let bytes = memory.buffer;
  let values = new Int8Array(bytes);
  let floats = new Float32Array(bytes);
  let words = new Uint32Array(bytes);
  const query = (): Int16Array => new Int16Array(bytes, queryAt, valueBytes);
  const rowAt = (row: number): number => rowsAt + row * strideBytes;
  const scaleAt = (row: number): number => rowAt(row + 1) / 4 - 1;
  const where = (): RowBytes => ({ bytes, start: rowsAt, firstSlot });

  /** The kernel is without memory of its own searches, so that several can take turns. */
  const enter = (state: SearchState): void => {
    query().set(state.query);
    if (state.size === 0) return;
    floats.set(state.scores.subarray(0, state.size), scoresAt / 4);
    words.set(state.slots.subarray(0, state.size), slotsAt / 4);
  };
  const leave = (state: SearchState, size: number): void => {
    state.scores.set(floats.subarray(scoresAt / 4, scoresAt / 4 + size));
    state.slots.set(words.subarray(slotsAt / 4, slotsAt / 4 + size));
    state.size = size;
  };
  const looking = (state: SearchState, size: number): Looking => [
    valueBytes,
    strideBytes,
    size,
    state.count,
    firstBytes,
    halfBytes,
    state.lengthBehindFirst,
    state.lengthBehindHalf,
  ];
  return {
    get capacity() {
      return Math.floor((bytes.byteLength - rowsAt) / strideBytes);
    },
    reserve(rows) {
      const missing = rowAt(rows) - bytes.byteLength;
      if (missing <= 0) return;
      memory.grow(Math.ceil(missing / pageBytes));
      bytes = memory.buffer;
      values = new Int8Array(bytes);
      floats = new Float32Array(bytes);
      words = new Uint32Array(bytes);
    },
    readScale: (row) => floats[scaleAt(row)] ?? 0,
    readValues: (row) => values.subarray(rowAt(row), rowAt(row) + dimensions),
    write(row, from, scale) {
      values.set(from, rowAt(row));
      floats[scaleAt(row)] = scale;
      kernel.measure(rowAt(row), firstBytes, halfBytes, valueBytes, strideBytes);
    },
    clear(row) {
      floats[scaleAt(row)] = 0;
    },
    scan(state, from, to) {
      if (!fitsKernel(state)) return scanPlainly(state, layout, where(), { from, to });
      enter(state);
      const size = kernel.scan(rowAt(from), to - from, firstSlot + from, ...looking(state, state.size));
      leave(state, size);
    },
    pick(state, slots) {
      if (!fitsKernel(state)) return pickPlainly(state, layout, where(), slots);
      enter(state);
      let { size } = state;
      // The address of slot 0 may lie before the memory; the sum with a slot of ours is right again, modulo 2^32.
      const base = rowAt(-firstSlot) | 0;
      for (let at = 0; at < slots.length; at += longestList) {
        const part = slots.subarray(at, at + longestList);
        words.set(part, listAt / 4);
        size = kernel.pick(base, part.length, ...looking(state, size));
      }
      leave(state, size);
    },
  };
}
