import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { runQuietly, type Progress } from "../debian/run-quietly.ts";

/** The Debian release whose source package of pgvector (0.8.0) builds against the servers of older releases too. */
const sourceRelease = "trixie";

/**
 * Builds and installs pgvector from Debian's source package for the server that `pgConfig` belongs to. The package is
 * looked for where this machine gets its own packages from, with that machine's own signing keys; nothing is added to
 * its list of sources.
 */
export async function buildVectorExtension(pgConfig: string, progress: Progress): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "agent-federation-pgvector-"));
  try {
    progress(`pgvector: fetching Debian's source package (${sourceRelease})`);
    const apt = privateApt(folder, sourceLine());
    await runQuietly("apt-get", [...apt, "update"], { cwd: folder });
    await runQuietly("apt-get", [...apt, "source", "pgvector"], { cwd: folder });
    const source = readdirSync(folder).find((name) => /^pgvector-[\d.]+$/.test(name));
    if (source === undefined) throw new Error("pgvector: apt-get source unpacked nothing");
    progress(`pgvector: building ${source}`);
    // Portable code, not for this processor only: the result may be kept in an image.
    const make = ["-C", join(folder, source), "OPTFLAGS=", `PG_CONFIG=${pgConfig}`];
    await runQuietly("make", [`-j${availableParallelism()}`, ...make]);
    await runQuietly("make", [...make, "install"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Options that make apt read one source and keep its lists and downloads in `folder`. */
function privateApt(folder: string, line: string): string[] {
  const sources = join(folder, "sources.list");
  writeFileSync(sources, `${line}\n`);
  mkdirSync(join(folder, "lists", "partial"), { recursive: true });
  mkdirSync(join(folder, "cache", "archives", "partial"), { recursive: true });
  const settings = [
    `Dir::Etc::SourceList=${sources}`,
    "Dir::Etc::SourceParts=-",
    `Dir::State::Lists=${join(folder, "lists")}`,
    `Dir::Cache=${join(folder, "cache")}`,
    // The folder belongs to root, and apt warns where its own user cannot write.
    "APT::Sandbox::User=root",
  ];
  return settings.flatMap((setting) => ["-o", setting]);
}

/** The machine's line for Debian's main archive, as a source line of `sourceRelease`. */
function sourceLine(): string {
  const release = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
  const lists = "/etc/apt/sources.list.d";
  const files = [
    "/etc/apt/sources.list",
    ...(existsSync(lists) ? readdirSync(lists).map((name) => join(lists, name)) : []),
  ].filter((path) => existsSync(path));
  for (const path of files) {
    const text = readFileSync(path, "utf8");
    const line = path.endsWith(".sources") ? fromParagraphs(text, release) : fromLines(text, release);
    if (line !== undefined) return line;
  }
  throw new Error(`pgvector: no apt source of this machine names the release ${release} of Debian`);
}

/** One-line format: `deb [options] address suite component…`. */
export function fromLines(text: string, release: string): string | undefined {
  for (const line of text.split("\n")) {
    const [, options = "", address, suite, components = ""] =
      /^deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
    if (suite !== release || !components.split(/\s+/).includes("main")) continue;
    return `deb-src ${options.trim()} ${address} ${sourceRelease} main`.replace("  ", " ");
  }
  return undefined;
}

/** deb822 format: paragraphs of `Field: value`. */
export function fromParagraphs(text: string, release: string): string | undefined {
  for (const paragraph of text.split(/\n\s*\n/)) {
    const field = (name: string): string[] =>
      (new RegExp(`^${name}:[ \\t]*(.*)$`, "im").exec(paragraph)?.[1] ?? "").split(/\s+/).filter(Boolean);
    const [address] = field("URIs");
    if (address === undefined || !field("Suites").includes(release) || !field("Components").includes("main"))
      continue;
    const [key] = field("Signed-By");
    return `deb-src ${key === undefined ? "" : `[signed-by=${key}] `}${address} ${sourceRelease} main`;
  }
  return undefined;
}
