import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { isAlive } from "./owned-folders.ts";

/** Names one process among all that this host ever ran. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** Boot and start time where the system tells them (Linux): a process id is given out again. */
  readonly birth: string | null;
}

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, host: hostname(), birth: birthOf(process.pid) };
}

/** A process of another host cannot be seen from here and counts as running. */
export function isRunning({ pid, host, birth }: ProcessIdentity): boolean {
  if (host !== hostname()) return true;
  return isAlive(pid) && (birth === null || birth === birthOf(pid));
}

function birthOf(pid: number): string | null {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    // The second field is the program's name in parentheses and may contain spaces; the start time is the 22nd.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return `${boot} ${fields[19]}`;
  } catch {
    return null;
  }
}
