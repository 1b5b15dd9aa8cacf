import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { encodeSegment, parseSegment, type SegmentFacts } from "./segment-codec.node.ts";

/*
 * A segment is two files of one number: `<number>.graph`, as usearch saves it, and `<number>.segment`, what is known of it, with the
 * checksums of both. The second comes last, so a segment is there when this one is, and whole when the sums say so. What is written has
 * another name until it is on the disk.
 */

const ours = /^(\d{1,9})\.(graph|segment)(\.part)?$/;

export interface SegmentPaths {
  readonly graph: string;
  readonly graphPart: string;
  readonly facts: string;
  readonly factsPart: string;
}

export function segmentPaths(folder: string, number: number): SegmentPaths {
  const graph = join(folder, `${number}.graph`);
  const facts = join(folder, `${number}.segment`);
  return { graph, graphPart: `${graph}.part`, facts, factsPart: `${facts}.part` };
}

/** The numbers of what seems whole, the newest first, and the names of what never became whole. A missing folder is an empty one. */
export async function listSegments(folder: string): Promise<{ numbers: number[]; leftovers: string[] }> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const whole = names.flatMap((name) => {
    const [, number, kind, part] = ours.exec(name) ?? [];
    return kind === "segment" && part === undefined ? [Number(number)] : [];
  });
  const leftovers = names.filter((name) => {
    const [, number, , part] = ours.exec(name) ?? [];
    return number !== undefined && (part !== undefined || !whole.includes(Number(number)));
  });
  return { numbers: whole.toSorted((a, b) => b - a), leftovers };
}

/** The facts of a segment that is whole; undefined when anything of it is missing or damaged. */
export async function readSegment(folder: string, number: number): Promise<SegmentFacts | undefined> {
  const paths = segmentPaths(folder, number);
  try {
    const facts = parseSegment(await readFile(paths.facts));
    if (facts === undefined || (await stat(paths.graph)).size !== facts.graphBytes) return undefined;
    const sum = await sumOfFile(paths.graph);
    return sum.equals(facts.graphSum) ? facts : undefined;
  } catch {
    return undefined; // what cannot be read is built anew
  }
}

/** Makes a segment of a graph that was saved under `graphPart`: from here on it survives a power cut. */
export async function sealSegment(
  folder: string,
  number: number,
  facts: Omit<SegmentFacts, "graphBytes" | "graphSum">,
): Promise<void> {
  const paths = segmentPaths(folder, number);
  await flushFile(paths.graphPart);
  const graphSum = await sumOfFile(paths.graphPart);
  const { size } = await stat(paths.graphPart);
  await rename(paths.graphPart, paths.graph);
  const file = await open(paths.factsPart, "w");
  try {
    await file.writeFile(encodeSegment({ ...facts, graphBytes: size, graphSum }));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(paths.factsPart, paths.facts);
  await flushFolder(folder);
}

/** The facts go first: half of a segment is none. */
export async function removeSegment(folder: string, number: number): Promise<void> {
  const paths = segmentPaths(folder, number);
  for (const path of [paths.facts, paths.graph, paths.factsPart, paths.graphPart])
    await rm(path, { force: true });
}

export async function removeLeftovers(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) await rm(join(folder, name), { force: true });
}

export async function createFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
}

async function sumOfFile(path: string): Promise<Buffer> {
  const hash = createHash("sha256");
  // Pieces of half a millisecond each.
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 19 })) hash.update(piece);
  return hash.digest();
}

async function flushFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes renames last. Windows has no such thing for a folder, and needs none. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
