import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { FederationError } from "../../runtime/errors.ts";

/*
 * lmdb maps its file into memory and trusts it: a file that is shorter than it says ends the process. Its two meta pages say which pages
 * there are; offsets as in lmdb 3.5's data format 2 on 64 bits, little-endian.
 */
export const tablesFile = "data.mdb";
const magic = 0xbeefc0de;
const offsets = { magic: 24, pageSize: 48, lastPage: 144, transaction: 152 } as const;
const metaBytes = 160;

/** Pages at the end that the last transaction gave back were never written: a file may lack so much and be whole. */
const mayLackBytes = 1_048_576;

/** Whether there are tables. Throws FederationError "damaged" where their file is not lmdb's, or was cut short. */
export function checkTablesFile(folder: string): boolean {
  const path = join(folder, tablesFile);
  if (!existsSync(path)) return false;
  const fd = openSync(path, "r+");
  try {
    const { size } = fstatSync(fd);
    if (size === 0) return false;
    const first = readMeta(fd, 0);
    const second = first === undefined ? undefined : readMeta(fd, first.pageSize);
    if (first === undefined || second === undefined) throw damaged(path, "its first pages are not lmdb's");
    const latest = first.transaction > second.transaction ? first : second;
    const wantedBytes = (latest.lastPage + 1) * latest.pageSize;
    if (size >= wantedBytes) return true;
    if (size + mayLackBytes < wantedBytes)
      throw damaged(path, `it has ${size} bytes and should have ${wantedBytes}`);
    ftruncateSync(fd, wantedBytes); // zeros: what lmdb would refuse to read, not what ends the process
    return true;
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

/** Tells the file from another one of its name. Undefined where there is none. */
export function tablesIdentity(folder: string): number | undefined {
  return statSync(join(folder, tablesFile), { throwIfNoEntry: false })?.ino;
}

/** For tables that a store has had and has no more. */
export function missingTables(folder: string): FederationError {
  return damaged(join(folder, tablesFile), "it is missing or empty");
}

function damaged(path: string, found: string): FederationError {
  return new FederationError("damaged", `open ${path}: ${found}`, {
    remedy: "salvageLocalStore reads what the journal still has; the folder is left as it is",
  });
}
