import { existsSync } from "node:fs";
import { runQuietly } from "./run-quietly.ts";

/** Whether `installPackages` can work here: Debian or a relative of it, and we are root. */
export function canInstallPackages(): boolean {
  return existsSync("/usr/bin/apt-get") && process.getuid?.() === 0;
}

/** The lists may be older than what the archive holds; nothing that they name can be fetched then. */
export async function updatePackageLists(): Promise<void> {
  await runQuietly("apt-get", [...patience, "update"]);
}

export async function installPackages(packages: readonly string[]): Promise<void> {
  await runQuietly("apt-get", [...patience, "install", "-y", "--no-install-recommends", ...packages]);
}

/** Another installation may be running: wait for it, five minutes at most. */
const patience = ["-o", "DPkg::Lock::Timeout=300"];
