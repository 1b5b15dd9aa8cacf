/**
 * Tells whether a row is still the one that a segment was built from; never 0, which stands for no row. Two rows of one hash cost no wrong
 * answer: a graph only proposes candidates, and they are compared by what they are now.
 */
export function rowHash(encoded: Uint8Array): number {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const whole = encoded.byteLength & ~3;
  let hash = encoded.byteLength;
  for (let at = 0; at < whole; at += 4) hash = mix(hash ^ view.getUint32(at, true));
  for (let at = whole; at < encoded.byteLength; at++) hash = mix(hash ^ view.getUint8(at));
  return hash >>> 0 || 1;
}

/** A bijection of 32 bits: of two rows that differ in one word, the hashes differ. */
function mix(value: number): number {
  const spread = Math.imul(value, 0x9e3779b1);
  return spread ^ (spread >>> 15);
}
