import { slotsPerBlock } from "./slot-block.ts";

/** Keys of the tables. Those of bytes begin with the tenant's number, so that a tenant's entries lie together. */

export function slotKey(tenant: number, slot: number): number {
  return tenant * 2 ** 32 + slot;
}

export function slotOfKey(key: number): number {
  return key % 2 ** 32;
}

export function idKey(tenant: number, id: string): Buffer {
  const key = Buffer.allocUnsafe(4 + Buffer.byteLength(id));
  key.writeUInt32BE(tenant, 0);
  key.write(id, 4);
  return key;
}

export function idOfKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset + 4, key.byteLength - 4).toString();
}

/** After the keys of all its ids. */
export function idsEnd(tenant: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32BE(tenant + 1, 0);
  return key;
}

export function leafKey(tenant: number, leaf: string, block: number): Buffer {
  const length = Buffer.byteLength(leaf);
  const key = Buffer.allocUnsafe(9 + length);
  key.writeUInt32BE(tenant, 0);
  key.writeUInt16BE(length, 4);
  key.write(leaf, 6);
  key.writeUIntBE(block, 6 + length, 3);
  return key;
}

export function firstSlotOfLeafKey(key: Uint8Array): number {
  const block = Buffer.from(key.buffer, key.byteOffset, key.byteLength).readUIntBE(key.byteLength - 3, 3);
  return block * slotsPerBlock;
}
