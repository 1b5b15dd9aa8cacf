import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A Postgres server that is installed on this machine. */
export interface PostgresInstallation {
  /** Holds `postgres` and `initdb`. */
  readonly binDir: string;
  readonly major: number;
  /** As the server prints it: "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)". */
  readonly version: string;
  readonly hasVector: boolean;
}

export const oldestMajor = 15;

/** Every server of version 15 or newer, best first: with pgvector before without, older before newer. */
export async function findPostgres(): Promise<PostgresInstallation[]> {
  const found = new Map<string, PostgresInstallation>();
  for (const { binDir, shareDir } of [...debianFolders(), ...(await pgConfigFolders())]) {
    const version = await output(join(binDir, "postgres"), "--version");
    const major = Number(/PostgreSQL\) (\d+)/.exec(version)?.[1] ?? 0);
    if (major < oldestMajor || !existsSync(join(binDir, "initdb"))) continue;
    const hasVector = existsSync(join(shareDir, "extension", "vector.control"));
    found.set(binDir, { binDir, major, version, hasVector });
  }
  return [...found.values()].sort((a, b) => Number(b.hasVector) - Number(a.hasVector) || a.major - b.major);
}

interface Folders {
  readonly binDir: string;
  readonly shareDir: string;
}

/** Debian's `pg_config` comes with the headers only, so its folders are known by their names. */
function debianFolders(): Folders[] {
  return names("/usr/lib/postgresql").map((major) => ({
    binDir: `/usr/lib/postgresql/${major}/bin`,
    shareDir: `/usr/share/postgresql/${major}`,
  }));
}

/** Homebrew's versions and whatever the PATH names. */
async function pgConfigFolders(): Promise<Folders[]> {
  const homebrew = ["/opt/homebrew/opt", "/usr/local/opt"].flatMap((root) =>
    names(root)
      .filter((name) => name.startsWith("postgresql"))
      .map((name) => join(root, name, "bin")),
  );
  const folders: Folders[] = [];
  for (const bin of [...homebrew, ...(process.env["PATH"] ?? "").split(":")]) {
    const pgConfig = join(bin, "pg_config");
    if (!existsSync(pgConfig)) continue;
    const [binDir = "", shareDir = ""] = (await output(pgConfig, "--bindir", "--sharedir")).split("\n");
    folders.push({ binDir, shareDir });
  }
  return folders;
}

function names(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

/** What a program prints; empty when it is missing or fails, as a client-only installation does. */
async function output(program: string, ...options: string[]): Promise<string> {
  try {
    const { stdout } = await run(program, options);
    return stdout.trim();
  } catch {
    return "";
  }
}
