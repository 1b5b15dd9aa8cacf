import { createHash } from "node:crypto";

/** What is known of a segment beside its graph. */
export interface SegmentFacts {
  readonly dimensions: number;
  readonly rows: number;
  readonly graphBytes: number;
  /** SHA-256 of the graph's file. */
  readonly graphSum: Uint8Array;
  readonly firstSlot: number;
  /** For each slot from the first on the hash of the row that is in the graph; 0 where there is none. */
  readonly hashes: Uint32Array;
}

/** Read by this version only: another number is a segment to be built anew. */
const formatVersion = 1;
const magic = "AFVS";
const sumBytes = 32;
const headerBytes = 64;

/** All numbers are little-endian; the SHA-256 of everything before it is at the end. */
export function encodeSegment(facts: SegmentFacts): Uint8Array {
  const { hashes } = facts;
  const bytes = Buffer.alloc(headerBytes + hashes.length * 4 + sumBytes);
  bytes.write(magic, 0, "latin1");
  bytes.writeUInt32LE(formatVersion, 4);
  bytes.writeUInt32LE(facts.dimensions, 8);
  bytes.writeUInt32LE(facts.rows, 12);
  bytes.writeUInt32LE(facts.firstSlot, 16);
  bytes.writeUInt32LE(hashes.length, 20);
  bytes.writeBigUInt64LE(BigInt(facts.graphBytes), 24);
  bytes.set(facts.graphSum, 32);
  for (let at = 0; at < hashes.length; at++) bytes.writeUInt32LE(hashes[at] ?? 0, headerBytes + at * 4);
  bytes.set(sumOf(bytes.subarray(0, -sumBytes)), bytes.length - sumBytes);
  return bytes;
}

/** Undefined for what is not whole, or not of this version. */
export function parseSegment(bytes: Uint8Array): SegmentFacts | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < headerBytes + sumBytes || buffer.toString("latin1", 0, 4) !== magic) return undefined;
  if (!sumOf(buffer.subarray(0, -sumBytes)).equals(buffer.subarray(-sumBytes))) return undefined;
  const slots = buffer.readUInt32LE(20);
  if (buffer.readUInt32LE(4) !== formatVersion || buffer.length !== headerBytes + slots * 4 + sumBytes)
    return undefined;
  const hashes = new Uint32Array(slots);
  for (let at = 0; at < slots; at++) hashes[at] = buffer.readUInt32LE(headerBytes + at * 4);
  return {
    dimensions: buffer.readUInt32LE(8),
    rows: buffer.readUInt32LE(12),
    firstSlot: buffer.readUInt32LE(16),
    graphBytes: Number(buffer.readBigUInt64LE(24)),
    graphSum: Uint8Array.from(buffer.subarray(32, 64)),
    hashes,
  };
}

function sumOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
