import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Environment } from "../../config/environment.ts";
import { FederationError, toError } from "../../runtime/errors.ts";
import { describe, isRecord } from "../../runtime/json.ts";

/** What this version writes. A folder with a higher number is from a later version. */
const formatVersion = 1;

/** Where a user's stores are unless somebody says otherwise. */
export function defaultDataDir(
  platform: NodeJS.Platform,
  environment: NodeJS.ProcessEnv,
  home: string,
): string {
  if (platform === "darwin") return join(home, "Library", "Application Support", "agent-federation");
  if (platform === "win32")
    return join(environment["LOCALAPPDATA"] ?? join(home, "AppData", "Local"), "agent-federation");
  return join(environment["XDG_DATA_HOME"] ?? join(home, ".local", "share"), "agent-federation");
}

export function resolveDataDir(dataDir: string | undefined, environment: Environment): string {
  const named = dataDir ?? environment["FEDERATION_DATA_DIR"];
  return resolve(named ?? defaultDataDir(process.platform, process.env, homedir()));
}

/**
 * A name as the name of a folder: one to one, never leading out of the data directory, and distinct where file systems take upper and lower
 * case for the same. A long name ends with a hash instead.
 */
export function folderName(store: string): string {
  const sizeBytes = Buffer.byteLength(store);
  if (store === "" || sizeBytes > 255 || store.includes("\u0000") || /\p{Surrogate}/u.test(store))
    throw new FederationError(
      "invalid_argument",
      `the name of a local store: expected 1 to 255 bytes of text, got ${describe(store)}`,
    );
  const encoded = [...Buffer.from(store)].map(encodeByte).join("");
  if (encoded.length <= 120) return `store-${encoded}`;
  const hash = createHash("sha256").update(store).digest("hex");
  return `store-${encoded.slice(0, 50)}~${hash}`;
}

/** Makes the folder where there is none, and answers its path. */
export function openFolder(dataDir: string, store: string): string {
  const folder = join(dataDir, folderName(store));
  withPath(`make ${folder}`, () => mkdirSync(folder, { recursive: true, mode: 0o700 }));
  return folder;
}

/**
 * Whether the folder is a store's, by the file that `writeFormat` makes. Throws FederationError "unsupported" for one of a later version. Call
 * it while holding the lock.
 */
export function checkFormat(folder: string): boolean {
  const text = readIfThere(formatPath(folder));
  if (text === undefined) return false;
  const format = formatOf(text);
  if (format === formatVersion) return true;
  if (format !== undefined && format > formatVersion)
    throw new FederationError(
      "unsupported",
      `open ${folder}: its format is ${format}, this version reads ${formatVersion}`,
      {
        remedy: "Update agent-federation; the folder is left as it is",
      },
    );
  throw new FederationError("damaged", `open ${folder}: format.json holds ${describe(text)}`, {
    remedy: `If the folder is a store, write {"format":${formatVersion}} into it`,
  });
}

/** Once everything else is there that a store has. */
export function writeFormat(folder: string, store: string): void {
  const path = formatPath(folder);
  const format = { format: formatVersion, store, created_at: new Date().toISOString() };
  withPath(`write ${path}`, () => {
    writeFileSync(`${path}.new`, `${JSON.stringify(format)}\n`);
    renameSync(`${path}.new`, path);
  });
}

/** Runs what touches the disk; what the system refuses becomes FederationError "storage". */
export function withPath<T>(attempt: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw storageError(attempt, error);
  }
}

export function storageError(attempt: string, error: unknown): FederationError {
  if (error instanceof FederationError) return error;
  const { message } = toError(error);
  if (/MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|BAD|VERSION)/.test(message))
    return new FederationError("damaged", `${attempt}: ${message}`, {
      cause: error,
      remedy: "salvageLocalStore reads what is still whole",
    });
  return new FederationError("storage", `${attempt}: ${message}`, {
    cause: error,
    remedy: remedyFor(message),
  });
}

function remedyFor(message: string): string {
  if (/ENOSPC|EDQUOT|EFBIG|MDB_MAP_FULL|No space|too large/i.test(message))
    return "Make room on the disk and open the store again; what was acknowledged is kept";
  if (/EROFS|EACCES|EPERM|Permission|Read-only|not permitted/i.test(message))
    return "Give this process the right to write there, or choose another folder with FEDERATION_DATA_DIR";
  if (/deleted|ENOENT|No such file/i.test(message))
    return "The folder was removed while the store was open; open a store again";
  return "Look at the disk, then open the store again; what was acknowledged is kept";
}

function formatPath(folder: string): string {
  return join(folder, "format.json");
}

function encodeByte(byte: number): string {
  const char = String.fromCharCode(byte);
  return /[a-z0-9_@-]/.test(char) ? char : `%${byte.toString(16).padStart(2, "0")}`;
}

function formatOf(text: string): number | undefined {
  try {
    const found: unknown = JSON.parse(text);
    const format = isRecord(found) ? found["format"] : undefined;
    return typeof format === "number" ? format : undefined;
  } catch {
    return undefined;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isRecord(error) && error["code"] === "ENOENT") return undefined;
    throw storageError(`read ${path}`, error);
  }
}
