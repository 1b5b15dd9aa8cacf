/** 32-bit floats as base64 of their little-endian bytes: exact, and a fourth of the size of their digits. */
export function encodeFloats(numbers: ArrayLike<number>): string {
  const view = new DataView(new ArrayBuffer(4 * numbers.length));
  for (let index = 0; index < numbers.length; index++) view.setFloat32(4 * index, numbers[index] ?? 0, true);
  let binary = "";
  for (let at = 0; at < view.byteLength; at += 8192) {
    const bytes = new Uint8Array(view.buffer, at, Math.min(8192, view.byteLength - at));
    binary += String.fromCharCode(...bytes);
  }
  return btoa(binary);
}

/** Throws a TypeError on what is not base64 of whole floats. */
export function decodeFloats(base64: string): Float32Array {
  let binary: string;
  try {
    binary = atob(base64);
  } catch (error) {
    throw new TypeError("expected base64", { cause: error });
  }
  if (binary.length % 4 !== 0) throw new TypeError(`expected 4 bytes a number, got ${binary.length} bytes`);
  const view = new DataView(new ArrayBuffer(binary.length));
  for (let at = 0; at < binary.length; at++) view.setUint8(at, binary.charCodeAt(at));
  return Float32Array.from({ length: binary.length / 4 }, (_, index) => view.getFloat32(4 * index, true));
}
