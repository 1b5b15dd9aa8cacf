import { randomUUID } from "node:crypto";
import {
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { FederationError } from "../../runtime/errors.ts";
import { isRecord } from "../../runtime/json.ts";

/** Who holds, or last held, a folder. */
export interface Holder {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
  /** When the process started, in the kernel's ticks since boot; tells a process from a later one with the same number. Linux only. */
  readonly started: string | null;
  /** Of this running of the machine. Linux only. */
  readonly boot: string | null;
  readonly isReleased: boolean;
}

export interface FolderLock {
  /** Who had the folder before; undefined for nobody. */
  readonly previous: Holder | undefined;
  /** False when the folder was removed since, whether or not somebody else has made one of its name. */
  isHeld(): boolean;
  release(): void;
}

/*
 * The lock is a row of files lock-1, lock-2, …: the highest number holds. Taking a folder over is making the next number, which one of many
 * takers manages; giving it back marks the own file. The highest is never removed, so that a taker who looked long ago makes a number that
 * is not the highest, sees it and starts again. A file is linked to its name when it is whole, so nobody reads half a one.
 */
export function lockFolder(folder: string): FolderLock {
  for (;;) {
    const highest = highestLock(folder);
    const previous = highest === 0 ? undefined : readHolder(folder, highest);
    if (highest !== 0 && previous === undefined) continue; // removed between the two looks: it was not the highest any more
    if (previous !== undefined && isHeld(previous)) throw heldBy(folder, previous);
    const own = highest + 1;
    const holder = ownHolder();
    if (!makeLock(folder, own, holder)) continue;
    if (highestLock(folder) !== own) {
      rmSync(lockPath(folder, own), { force: true });
      continue;
    }
    for (const number of lockNumbers(folder))
      if (number < own) rmSync(lockPath(folder, number), { force: true });
    return {
      previous,
      isHeld: () => isDeepStrictEqual(readHolder(folder, own), holder),
      release: () => releaseLock(folder, own),
    };
  }
}

/** The boot that this process runs in; null where the system does not tell. */
export function currentBoot(): string | null {
  return readText("/proc/sys/kernel/random/boot_id");
}

function isHeld(holder: Holder): boolean {
  if (holder.isReleased) return false;
  if (holder.host !== hostname()) return true; // who can tell?
  const boot = currentBoot();
  if (boot !== null && holder.boot !== null && boot !== holder.boot) return false;
  if (!isRunning(holder.pid)) return false;
  const started = startOf(holder.pid);
  return started === null || holder.started === null || started === holder.started;
}

function heldBy(folder: string, holder: Holder): FederationError {
  const { pid, host, since } = holder;
  const isOwn = pid === process.pid && host === hostname();
  const who = isOwn ? `this process (${pid})` : `process ${pid} on ${host}`;
  const remedy = isOwn
    ? "Use the store that is open already, or close it first"
    : host === hostname()
      ? "Stop that process, or give this one a store of another name"
      : `If nothing runs there any more, delete the files lock-* in ${folder}`;
  return new FederationError("locked", `open ${folder}: it is in use by ${who} since ${since}`, { remedy });
}

function ownHolder(): Holder {
  return {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
    started: startOf(process.pid),
    boot: currentBoot(),
    isReleased: false,
  };
}

function makeLock(folder: string, number: number, holder: Holder): boolean {
  const draft = writeDraft(folder, holder);
  try {
    linkSync(draft, lockPath(folder, number));
    return true;
  } catch (error) {
    if (isRecord(error) && error["code"] === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Never throws: a full disk takes no new file, but an empty one says enough; a deleted folder needs nothing. */
function releaseLock(folder: string, number: number): void {
  try {
    renameSync(writeDraft(folder, { ...ownHolder(), isReleased: true }), lockPath(folder, number));
  } catch {
    try {
      truncateSync(lockPath(folder, number));
    } catch {
      // Then it is given back when this process ends.
    }
  }
}

function writeDraft(folder: string, holder: Holder): string {
  const draft = join(folder, `draft-${randomUUID()}`);
  writeFileSync(draft, `${JSON.stringify(holder)}\n`);
  return draft;
}

function readHolder(folder: string, number: number): Holder | undefined {
  const text = readText(lockPath(folder, number));
  if (text === null) return undefined;
  const found: unknown = parse(text);
  const { pid, host, since, started, boot, isReleased } = isRecord(found) ? found : {};
  return {
    pid: typeof pid === "number" ? pid : 0,
    host: typeof host === "string" ? host : hostname(),
    since: typeof since === "string" ? since : "an unknown time",
    started: typeof started === "string" ? started : null,
    boot: typeof boot === "string" ? boot : null,
    isReleased: isReleased === true,
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // after a power cut a file may be empty: its process is dead for sure
  }
}

function highestLock(folder: string): number {
  return Math.max(0, ...lockNumbers(folder));
}

function lockNumbers(folder: string): number[] {
  return readdirSync(folder)
    .map((name) => Number(/^lock-(\d+)$/.exec(name)?.[1]))
    .filter((number) => number > 0);
}

function lockPath(folder: string, number: number): string {
  return join(folder, `lock-${number}`);
}

function isRunning(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isRecord(error) && error["code"] === "EPERM";
  }
}

/** Field 22 of /proc/<pid>/stat; the second one, the name, may contain spaces and brackets. */
function startOf(pid: number): string | null {
  const stat = readText(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}
