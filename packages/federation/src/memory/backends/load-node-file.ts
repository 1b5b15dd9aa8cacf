import { isBrowser } from "../../config/environment.ts";
import { FederationError } from "../../runtime/errors.ts";
import type { Salvage } from "../local/salvage.node.ts";
import type { importAgentDb } from "../transfer/import-agentdb.node.ts";
import type { exportMemoriesToFile, importMemoriesFromFile } from "../transfer/files.node.ts";

export interface FileTransfer {
  readonly exportMemoriesToFile: typeof exportMemoriesToFile;
  readonly importMemoriesFromFile: typeof importMemoriesFromFile;
}

/** What reads and writes exports on the disk. Rejects with "unsupported" in a browser. */
export async function loadFileTransfer(): Promise<FileTransfer> {
  return (await loadNodeFile("../transfer/files.node.ts")) as FileTransfer; // what that file exports
}

export interface AgentDbImport {
  readonly importAgentDb: typeof importAgentDb;
}

/** What reads agentdb's files. Rejects with "unsupported" in a browser. */
export async function loadAgentDbImport(): Promise<AgentDbImport> {
  return (await loadNodeFile("../transfer/import-agentdb.node.ts")) as AgentDbImport; // what that file exports
}

/**
 * Reads what can be read of a local store's folder, damaged or not, and changes nothing in it. Rejects with FederationError "locked" while a
 * store has the folder, "not_found" where there is none, "unsupported" in a browser.
 */
export async function salvageLocalStore(options: SalvageOptions): Promise<Salvage> {
  const file = (await loadNodeFile("../local/salvage.node.ts")) as {
    readonly salvageLocalStore: (options: SalvageOptions) => Promise<Salvage>; // what that file exports
  };
  return await file.salvageLocalStore(options);
}

export interface SalvageOptions {
  /** The store's name: the option `store` of the adapter, or what it was by default. */
  readonly store: string;
  /** Default: FEDERATION_DATA_DIR, else the user's data folder. */
  readonly dataDir?: string | undefined;
}

/** A file beside this one that only Node can run. Not a literal, so that bundlers for browsers do not follow it. */
export async function loadNodeFile(file: string): Promise<unknown> {
  if (isBrowser())
    throw new FederationError("unsupported", "files on the disk can be read by Node only, not by a page");
  return (await import(/* @vite-ignore */ /* webpackIgnore: true */ file)) as unknown; // whoever asks knows
}
