import { mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LocalSupabaseError } from "../start-error.ts";
import { isRunning, ownIdentity, type ProcessIdentity } from "./process-identity.ts";

/** A takeover takes milliseconds; an older mark was left by a process that died in the middle of one. */
const takeoverMaxMs = 10_000;

/**
 * One process per folder: a file `lock` names it. The file of a process that no longer runs is taken over, by one at a
 * time, so that of two that start at once one is refused. Returns the function that gives the folder back.
 */
export function lockFolder(folder: string): () => void {
  const file = join(folder, "lock");
  const own = JSON.stringify(ownIdentity());
  if (!create(file, own)) takeOver(folder, file, own);
  return () => {
    if (read(file) === own) rmSync(file, { force: true });
  };
}

function takeOver(folder: string, file: string, own: string): void {
  const mark = join(folder, "lock.takeover");
  if (!makeMark(mark)) throw inUse(folder, undefined);
  try {
    const holder = parse(read(file));
    if (holder !== undefined && isRunning(holder)) throw inUse(folder, holder);
    rmSync(file, { force: true });
    if (!create(file, own)) throw inUse(folder, parse(read(file)));
  } finally {
    rmdirSync(mark);
  }
}

function makeMark(mark: string): boolean {
  try {
    mkdirSync(mark);
    return true;
  } catch {
    const age = Date.now() - (statSync(mark, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age < takeoverMaxMs) return false;
    rmSync(mark, { recursive: true, force: true });
    return makeMark(mark);
  }
}

/** False where the file is there already. */
function create(file: string, content: string): boolean {
  try {
    writeFileSync(file, content, { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** Undefined for what no process of ours wrote to its end. */
function parse(content: string | undefined): ProcessIdentity | undefined {
  try {
    const value: unknown = JSON.parse(content ?? "");
    if (
      typeof value !== "object" ||
      value === null ||
      !("pid" in value && "host" in value && "birth" in value)
    ) {
      return undefined;
    }
    const { pid, host, birth } = value;
    if (typeof pid !== "number" || typeof host !== "string") return undefined;
    return { pid, host, birth: typeof birth === "string" ? birth : null };
  } catch {
    return undefined;
  }
}

function inUse(folder: string, holder: ProcessIdentity | undefined): LocalSupabaseError {
  const who = holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}`;
  return new LocalSupabaseError("data-folder-in-use", `open the data folder ${folder}: ${who} has it open`, {
    remedy:
      "End that process, or choose another folder. If it cannot be running any more, remove the file `lock`.",
  });
}
