import { existsSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { bootstrap } from "./bootstrap/bootstrap.ts";
import type { Database } from "./database.ts";
import { clearAbandonedFolders, makeOwnedFolder } from "./owned-folders.ts";
import { optionalExtensions, startPglite, superuser } from "./pglite.ts";
import { PgliteDatabase, type PgliteEvents } from "./pglite-database.ts";
import { fillFromPrepared } from "./prepared-folder.ts";
import { withCleanup } from "./with-cleanup.ts";

export interface PgliteOptions extends PgliteEvents {
  /** The folder of the database cluster, made where it is missing. Without it: a private one that close() removes. */
  readonly dataDir?: string | undefined;
  /** Optional extensions that may be created; those that the folder has are there anyway. Default: all. */
  readonly extensions?: readonly string[] | undefined;
  /** Called when this start has to prepare the snapshot first and will take some seconds. */
  readonly onSlow?: (() => void) | undefined;
}

/** A bootstrapped embedded database in this thread. A slow statement blocks the thread; see backend/ for the worker. */
export async function openPglite(options: PgliteOptions = {}): Promise<Database> {
  if (options.dataDir !== undefined) return await openFolder(options.dataDir, options);
  const folder = makePrivateFolder();
  try {
    const database = await openFolder(join(folder, "db"), options);
    return withCleanup(database, () => rmSync(folder, { recursive: true, force: true }));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

const privatePrefix = "supabase-local";

/** A folder in the system's temporary folder for a stack that keeps nothing. Clears what dead processes left there. */
export function makePrivateFolder(): string {
  clearAbandonedFolders(tmpdir(), privatePrefix);
  return makeOwnedFolder(tmpdir(), privatePrefix);
}

async function openFolder(folder: string, options: PgliteOptions): Promise<Database> {
  const { onSlow, onStep, onCrash, extensions } = options;
  if (!existsSync(join(folder, "PG_VERSION"))) {
    mkdirSync(dirname(folder), { recursive: true });
    await fillFromPrepared(folder, onSlow);
  }
  const database = new PgliteDatabase(await startPglite(folder, extensions), { onStep, onCrash });
  const missing = extensions === undefined ? [] : await notLoaded(database, extensions);
  if (missing.length > 0) {
    await database.close();
    return await openFolder(folder, { ...options, extensions: [...(extensions ?? []), ...missing] });
  }
  try {
    // In single-user mode nothing sets the session's user at the start, so that "set local session authorization" would
    // not go back at the end of its transaction.
    await database.exec(`set session authorization ${superuser}`);
    await bootstrap(database);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** What the folder has, from an earlier start, and this one did not load. */
async function notLoaded(database: Database, loaded: readonly string[]): Promise<string[]> {
  const { rows } = await database.query("select extname from pg_extension");
  return rows.flatMap(([name]) =>
    name != null && optionalExtensions.includes(name) && !loaded.includes(name) ? [name] : [],
  );
}
