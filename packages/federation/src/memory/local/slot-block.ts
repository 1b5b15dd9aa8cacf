/** A block says which of 4,096 neighbouring slots are in a set: few as a list of 16-bit numbers, many as a bitmap. */
export const slotsPerBlock = 4_096;
const bitmapBytes = slotsPerBlock / 8;
const longestList = 128;

/** The block with some places added (true) or removed (false). Undefined when nothing is left. */
export function editBlock(
  block: Uint8Array | undefined,
  edits: Iterable<readonly [place: number, isIn: boolean]>,
): Uint8Array | undefined {
  const bits = new Uint8Array(bitmapBytes);
  if (block !== undefined) for (const place of placesOf(block)) setBit(bits, place, true);
  for (const [place, isIn] of edits) setBit(bits, place, isIn);
  const places = placesOf(bits);
  if (places.length === 0) return undefined;
  if (places.length > longestList) return bits;
  const list = new Uint8Array(places.length * 2);
  const view = new DataView(list.buffer);
  places.forEach((place, at) => view.setUint16(at * 2, place, true));
  return list;
}

/** Ascending. */
export function placesOf(block: Uint8Array): number[] {
  const places: number[] = [];
  if (block.length === bitmapBytes) {
    for (let at = 0; at < bitmapBytes; at++) {
      for (let bits = block[at] ?? 0; bits !== 0; bits &= bits - 1)
        places.push(at * 8 + 31 - Math.clz32(bits & -bits));
    }
  } else {
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    for (let at = 0; at + 1 < block.length; at += 2) places.push(view.getUint16(at, true));
  }
  return places;
}

function setBit(bits: Uint8Array, place: number, isIn: boolean): void {
  const mask = 1 << (place & 7);
  const old = bits[place >>> 3] ?? 0;
  bits[place >>> 3] = isIn ? old | mask : old & ~mask;
}
