import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { readEnvironment } from "../../config/environment.ts";
import { toError } from "../../runtime/errors.ts";
import { silentLog } from "../../runtime/log.ts";
import type { Log } from "../../runtime/log.ts";
import { decodeChanges } from "./changes.ts";
import {
  checkFormat,
  openFolder,
  resolveDataDir,
  storageError,
  withPath,
  writeFormat,
} from "./folder.node.ts";
import { journalFiles } from "./journal-file.node.ts";
import type { JournalFiles } from "./journal-file.node.ts";
import { Journal } from "./journal.node.ts";
import { loadTenant } from "./load-tenant.node.ts";
import type { Durability, LocalStore } from "./local-store.ts";
import { currentBoot, lockFolder } from "./lock.node.ts";
import type { FolderLock } from "./lock.node.ts";
import { holdsEverything, replayJournals } from "./replay.node.ts";
import { Store } from "./store.node.ts";
import { Tables } from "./tables.node.ts";
import { checkTablesFile, missingTables } from "./tables-file.node.ts";
import type { TenantState } from "./tenant-state.ts";
import { Slice } from "./turn.ts";
import { VectorFolder } from "./vector-folder.node.ts";
import type { GraphOptions } from "./vector-folder.node.ts";

export interface LocalStoreOptions {
  /** Names the folder within the data directory: 1 to 255 bytes. */
  readonly store: string;
  /** Default: FEDERATION_DATA_DIR, else the user's data folder. */
  readonly dataDir?: string | undefined;
  /** Default: process. */
  readonly durability?: Durability | undefined;
  readonly log?: Log | undefined;
  /** How the journal reaches the disk; tests record it. */
  readonly files?: JournalFiles | undefined;
  /** A journal file is ended beyond this; default 64 MiB. */
  readonly maxJournalFileBytes?: number | undefined;
  /** Writers wait while more than this is not yet in the tables; default 256 MiB. */
  readonly maxWaitingBytes?: number | undefined;
  /** After how many changes a thread of its own writes the tables; default 2,000. */
  readonly threadFrom?: number | undefined;
  /** When graphs of vectors are built; tests build them of few. */
  readonly graphs?: GraphOptions | undefined;
}

/**
 * Opens the folder of a store, or makes it, and takes its lock. Resolves when everything that was ever acknowledged can be read.
 * Rejects with FederationError: "locked" while another store has the folder (the message names its process), "damaged", "storage" where
 * the system refuses, "unsupported" for a later version's folder.
 */
export async function openLocalStore(options: LocalStoreOptions): Promise<LocalStore> {
  const folder = openFolder(resolveDataDir(options.dataDir, readEnvironment()), options.store);
  const lock = withPath(`lock ${folder}`, () => lockFolder(folder));
  try {
    return await openLocked(folder, lock, options);
  } catch (error) {
    lock.release();
    throw storageError(`open ${folder}`, error);
  }
}

async function openLocked(folder: string, lock: FolderLock, options: LocalStoreOptions): Promise<LocalStore> {
  const { durability = "process", log = silentLog, files = journalFiles } = options;
  const isNew = !checkFormat(folder);
  const journalFolder = join(folder, "journal");
  const tablesFolder = join(folder, "tables");
  for (const path of [journalFolder, tablesFolder]) mkdirSync(path, { recursive: true });
  if (!checkTablesFile(tablesFolder) && !isNew && !holdsEverything(journalFolder))
    throw missingTables(tablesFolder);
  const tables = new Tables(tablesFolder, options.threadFrom);
  const vectors = new VectorFolder(join(folder, "segments"), { log, graphs: options.graphs });
  const tenants = new Map<string, TenantState>();
  try {
    for (const path of [folder, journalFolder, tablesFolder]) files.syncFolder(path);
    if (isNew) writeFormat(folder, options.store);
    const boot = currentBoot();
    const isAfterReboot = boot === null || lock.previous?.boot !== boot;
    const replayed = replayJournals(journalFolder, tables.applied, isAfterReboot);
    let records = 0;
    for (const tenant of tables.tenants()) {
      const loaded = await loadTenant(tables, tenant, vectors);
      tenants.set(tenant.name, loaded.state);
      records += loaded.records;
    }
    tables.check(records);
    const last = replayed.records.at(-1);
    const nextSequence =
      last === undefined ? tables.applied + 1 : last.sequence + decodeChanges(last.body).changes.length;
    const store = new Store({
      folder,
      tables,
      vectors,
      tenants,
      nextSequence,
      log,
      maxWaitingBytes: options.maxWaitingBytes,
      unlock: () => lock.release(),
      openJournal: (events) => {
        const journal = new Journal({
          folder: journalFolder,
          durability,
          files,
          isOurs: () => lock.isHeld(),
          firstFile: replayed.nextFile,
          flushed: tables.applied,
          maxFileBytes: options.maxJournalFileBytes,
          ...events,
        });
        for (const { path } of replayed.files) journal.adopt(path, nextSequence - 1);
        return journal;
      },
    });
    const slice = new Slice();
    for (const { sequence, body } of replayed.records) {
      const { tenant, changes } = decodeChanges(body);
      store.replay({ sequence, body, count: changes.length }, store.stateOf(tenant), changes);
      if (slice.isOver) await slice.rest();
    }
    store.startBuilding();
    void store.startApplying();
    if (replayed.lost > 0)
      log(
        "error",
        "the end of a local store's journal did not survive a power cut, as it may under process",
        {
          folder,
          files: replayed.lost,
        },
      );
    if (last !== undefined)
      log("info", "the local store replayed its journal", { folder, records: replayed.records.length });
    return store;
  } catch (error) {
    await Promise.all(Array.from(tenants.values(), ({ index }) => index.close()));
    await tables.close().catch((failure: unknown) => {
      log("error", "the tables of a local store did not close", { folder, error: toError(failure).message });
    });
    throw error;
  }
}
