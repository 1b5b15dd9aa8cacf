import { constants, accessSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { LocalSupabaseError } from "../start-error.ts";
import { lockFolder } from "./folder-lock.ts";

/** A folder of one stack: `db` (the cluster), `keys.json`, and `lock` while a process has it. */
export interface DataFolder {
  readonly databaseFolder: string;
  readonly keysFile: string;
  /** Lets the next process in. */
  release(): void;
}

/** Makes `folder` where it is missing and locks it. Rejects with "data-folder" or "data-folder-in-use". */
export function openDataFolder(folder: string): DataFolder {
  try {
    makeFolders(resolve(folder));
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LocalSupabaseError("data-folder", `open the data folder ${folder}: ${reason}`, {
      remedy: "Choose a folder that this user may write.",
      cause,
    });
  }
  const release = lockFolder(folder);
  return { databaseFolder: join(folder, "db"), keysFile: join(folder, "keys.json"), release };
}

/** One by one: `recursive` never returns in Node 20 where a parent exists that takes no folders, such as /proc. */
function makeFolders(folder: string): void {
  if (existsSync(folder)) return;
  makeFolders(dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    if (!existsSync(folder)) throw error; // somebody else may have been faster
  }
}
