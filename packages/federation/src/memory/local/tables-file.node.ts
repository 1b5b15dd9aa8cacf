import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { FederationError } from "../../runtime/errors.ts";

/*
 * lmdb maps its file into memory and trusts it: a file that is shorter than it says ends the process. Its two meta pages say which pages
 * there are; offsets as in lmdb 3.5's data format 2 on 64 bits, little-endian.
 */
const magic = 0xbeefc0de;
const offsets = { magic: 24, pageSize: 48, lastPage: 144, transaction: 152 } as const;
const metaBytes = 160;

/** Pages at the end that the last transaction gave back were never written: a file may lack so much and be whole. */
const mayLackBytes = 1_048_576;

/** Throws FederationError "damaged" where the tables' file is not lmdb's, or was cut short. */
export function checkTablesFile(folder: string): void {
  const path = join(folder, "data.mdb");
  if (!existsSync(path)) return;
  const fd = openSync(path, "r+");
  try {
    const { size } = fstatSync(fd);
    if (size === 0) return;
    const first = readMeta(fd, 0);
    const second = first === undefined ? undefined : readMeta(fd, first.pageSize);
    if (first === undefined || second === undefined) throw damaged(path, "its first pages are not lmdb's");
    const latest = first.transaction > second.transaction ? first : second;
    const wantedBytes = (latest.lastPage + 1) * latest.pageSize;
    if (size >= wantedBytes) return;
    if (size + mayLackBytes < wantedBytes)
      throw damaged(path, `it has ${size} bytes and should have ${wantedBytes}`);
    ftruncateSync(fd, wantedBytes); // zeros: what lmdb would refuse to read, not what ends the process
  } finally {
    closeSync(fd);
  }
}

function readMeta(
  fd: number,
  at: number,
): { readonly pageSize: number; readonly lastPage: number; readonly transaction: number } | undefined {
  const bytes = Buffer.alloc(metaBytes);
  if (readSync(fd, bytes, 0, metaBytes, at) < metaBytes) return undefined;
  if (bytes.readUInt32LE(offsets.magic) !== magic) return undefined;
  return {
    pageSize: bytes.readUInt32LE(offsets.pageSize),
    lastPage: Number(bytes.readBigUInt64LE(offsets.lastPage)),
    transaction: Number(bytes.readBigUInt64LE(offsets.transaction)),
  };
}

function damaged(path: string, found: string): FederationError {
  return new FederationError("damaged", `open ${path}: ${found}`, {
    remedy: "salvageLocalStore reads what the journal still has; the folder is left as it is",
  });
}
