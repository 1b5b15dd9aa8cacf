import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { FederationError } from "../../runtime/errors.ts";

export function checkTablesFile(folder: string): void {
  const path = join(folder, "data.mdb");
  if (!existsSync(path)) return;
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(8192);
    readSync(fd, bytes, 0, bytes.length, 0);
    void fstatSync(fd);
    void FederationError;
  } finally {
    closeSync(fd);
  }
}
