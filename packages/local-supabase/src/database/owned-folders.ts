import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

/**
 * Folders that belong to one process and mean nothing after it: `<prefix>-<host>-<pid>-<random>`. The host is part of
 * the name because containers may share a folder but not their process ids.
 */
export function makeOwnedFolder(parent: string, prefix: string): string {
  const folder = ownedFolderPath(parent, prefix);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** A name of that kind; nothing is made. */
export function ownedFolderPath(parent: string, prefix: string): string {
  return join(parent, `${prefix}-${hostPart()}-${process.pid}-${randomBytes(4).toString("hex")}`);
}

/** Removes what processes of this host that no longer live left behind. What cannot be removed stays. */
export function clearAbandonedFolders(parent: string, prefix: string): void {
  for (const name of namesIn(parent)) {
    const owner = name.startsWith(`${prefix}-${hostPart()}-`) ? /-(\d+)-[0-9a-f]{8}$/.exec(name) : null;
    if (owner === null || isAlive(Number(owner[1]))) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Somebody else's, or being removed by somebody else right now.
    }
  }
}

/** True also for a process that is not ours to signal. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

export function hostPart(): string {
  return hostname().replaceAll(/[^A-Za-z0-9]/g, "_");
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
