import { constants, existsSync } from "node:fs";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FederationError, toError } from "../../runtime/errors.ts";
import type { SqlRow } from "./agentdb-memory.ts";

/** A SQLite file, opened for reading. */
export interface SqliteCopy {
  all(sql: string, values?: readonly (string | number)[]): SqlRow[];
  close(): Promise<void>;
}

/**
 * Opens a copy of a SQLite file with what is still in its log beside it: reading a file in WAL mode would otherwise write to it, and to read
 * from under a program that writes needs shared memory, which WebAssembly has not. Throws FederationError "not_found" or "invalid_argument".
 */
export async function openSqliteCopy(path: string): Promise<SqliteCopy> {
  // Loaded here: it is 1.3 MB of WebAssembly that few programs need.
  const { default: sqlite } = await import("node-sqlite3-wasm");
  const folder = await mkdtemp(join(tmpdir(), "federation-import-"));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const copy = join(folder, "copy.db");
    await copyInto(path, copy);
    const database = new sqlite.Database(copy, { fileMustExist: true });
    try {
      // Alone with the file, SQLite keeps the index of the log in its own memory.
      database.get("pragma locking_mode = exclusive");
      database.get("select count(*) from sqlite_master");
    } catch (error) {
      database.close();
      throw new FederationError("invalid_argument", `${path}: ${toError(error).message}`, { cause: error });
    }
    return {
      all: (sql, values = []) => database.all(sql, [...values]),
      close: async () => {
        database.close();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function copyInto(path: string, copy: string): Promise<void> {
  try {
    await copyFile(path, copy, constants.COPYFILE_FICLONE);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new FederationError("not_found", `${path}: there is no such file`, { cause: error });
    throw error;
  }
  // A log, and the journal that a killed program left.
  for (const suffix of ["-wal", "-journal"])
    if (existsSync(path + suffix)) await copyFile(path + suffix, copy + suffix, constants.COPYFILE_FICLONE);
}
