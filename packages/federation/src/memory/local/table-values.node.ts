import { crc32 } from "node:zlib";
import { FederationError } from "../../runtime/errors.ts";

/** How the tables keep what must be what was written: a checksum, then the bytes. */
export const sumBytes = 4;

/** The slot is part of the sum: a row in another one's place is damage too. Good until the next value is made. */
export function summed(bytes: Uint8Array, slot: number): Uint8Array {
  const value = scratchOf(sumBytes + bytes.length);
  value.writeUInt32LE(crc32(bytes, slot));
  value.set(bytes, sumBytes);
  return value;
}

let scratch = Buffer.allocUnsafeSlow(65_536);

/** Within a transaction lmdb has taken a value over when `put` returns; a buffer of its own for each would cost more than writing it. */
export function scratchOf(sizeBytes: number): Buffer {
  if (sizeBytes > scratch.length) scratch = Buffer.allocUnsafeSlow(sizeBytes * 2);
  return scratch.subarray(0, sizeBytes);
}

/** The bytes of a value. Throws FederationError "damaged" where they are not what was written. */
export function sound(value: Uint8Array, slot: number, what: string): Uint8Array {
  const bytes = value.subarray(sumBytes);
  const sum = value.length < sumBytes ? -1 : new DataView(value.buffer, value.byteOffset).getUint32(0, true);
  if (sum === crc32(bytes, slot)) return bytes;
  throw damaged(slot, what);
}

export function damaged(slot: number, what: string, found = "its checksum does not match"): FederationError {
  return new FederationError("damaged", `read ${what} at slot ${slot}: ${found}`, {
    remedy: "salvageLocalStore reads what is still whole",
  });
}
