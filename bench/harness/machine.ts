import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Where and with what a result came to be. */
export interface Provenance {
  readonly commit: string;
  /** True where the sources differed from that commit. */
  readonly isModified: boolean;
  readonly at: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGb: number;
    readonly platform: string;
  };
  /** Processes that wanted to run in the minute before: near 0, or the figures are those of a busy machine. */
  readonly loadAverage: number;
  readonly versions: Readonly<Record<string, string>>;
}

export function provenance(packages: readonly string[]): Provenance {
  const [cpu] = cpus();
  return {
    commit: git("rev-parse", "HEAD"),
    isModified: git("status", "--porcelain", "--", "packages", "bench", ":!bench/results") !== "",
    at: new Date().toISOString(),
    machine: {
      cpu: cpu?.model ?? "unknown",
      cores: cpus().length,
      memoryGb: Math.round(totalmem() / 2 ** 30),
      platform: `${process.platform}-${process.arch}`,
    },
    loadAverage: Math.round((loadavg()[0] ?? 0) * 10) / 10,
    versions: {
      node: process.versions.node,
      ...Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
    },
  };
}

/** Empty outside a git checkout. */
function git(...args: string[]): string {
  try {
    return execFileSync("git", args, {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "";
  }
}

function versionOf(name: string): string {
  const { version } = JSON.parse(readFileSync(`${root}node_modules/${name}/package.json`, "utf8")) as {
    version: string; // every package that npm installed has one
  };
  return version;
}
