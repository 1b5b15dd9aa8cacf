import { constants, accessSync, mkdirSync } from "node:fs";
import { join } from "node:path";
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
    mkdirSync(folder, { recursive: true });
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
