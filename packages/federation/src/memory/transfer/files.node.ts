import { createReadStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { FederationError, toError } from "../../runtime/errors.ts";
import { exportMemories, type ExportOptions } from "./export-memories.ts";
import { importMemories, type ImportOptions, type ImportResult } from "./import-memories.ts";
import { headerLine, parseExportLine } from "./memory-line.ts";
import { splitLines, type Line } from "./split-lines.ts";
import type { MemorySink, MemorySource } from "./transfer-memory.ts";

export interface ExportFileOptions extends Omit<ExportOptions, "afterId"> {
  /** What to do with a file that is there: refuse it, write it anew, or go on where it ends. Default `refuse`. */
  readonly existing?: "refuse" | "replace" | "resume" | undefined;
}

export interface ExportFileResult {
  /** Memories in the whole file. */
  readonly memories: number;
  /** Of them, those written by this call. */
  readonly written: number;
}

// Many lines in one write; the memories of a write are held at once.
const writeBytes = 256 * 1024;

/** Writes memories to a file, flushed to the disk when it resolves. When it is interrupted, what was written stays, to be resumed. */
export async function exportMemoriesToFile(
  source: MemorySource,
  path: string,
  { existing = "refuse", ...options }: ExportFileOptions = {},
): Promise<ExportFileResult> {
  const file = await openForExport(path, existing);
  try {
    const before = existing === "resume" ? await readEnd(file, path) : emptyEnd;
    if (before.isComplete) return { memories: before.memories, written: 0 };
    await file.truncate(before.sizeBytes);
    const { lastId } = before;
    const lines = exportMemories(source, {
      ...options,
      ...(lastId === undefined ? {} : { afterId: lastId }),
    });
    const written = await writeLines(file, lines, {
      position: before.sizeBytes,
      hasHeader: lastId === undefined,
    });
    await file.sync();
    return { memories: before.memories + written, written };
  } finally {
    await file.close();
  }
}

/** Reads an export from a file. */
export async function importMemoriesFromFile(
  path: string,
  sink: MemorySink,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const stream = createReadStream(path, { highWaterMark: 256 * 1024 });
  try {
    return await importMemories(stream as AsyncIterable<Uint8Array>, sink, options); // no encoding is set
  } finally {
    stream.destroy();
  }
}

async function openForExport(path: string, existing: "refuse" | "replace" | "resume"): Promise<FileHandle> {
  try {
    if (existing === "replace") return await open(path, "w+");
    if (existing === "refuse") return await open(path, "wx+");
    return await open(path, "r+").catch(() => open(path, "wx+"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") {
      throw new FederationError("invalid_argument", `export to ${path}: the file is there already`, {
        cause: error,
        remedy: "Choose another, or say what to do with it by the option existing",
      });
    }
    throw error;
  }
}

/** How far an interrupted export got. */
interface ExportEnd {
  readonly sizeBytes: number;
  readonly lastId: string | undefined;
  readonly memories: number;
  readonly isComplete: boolean;
}

const emptyEnd: ExportEnd = { sizeBytes: 0, lastId: undefined, memories: 0, isComplete: false };

/** Of the lines that are whole. A last line that was cut off does not count; any other that cannot be read is an error. */
async function readEnd(file: FileHandle, path: string): Promise<ExportEnd> {
  let end = emptyEnd;
  let cut: { readonly line: number; readonly reason: string } | undefined;
  const stream = file.createReadStream({ start: 0, autoClose: false, highWaterMark: 256 * 1024 });
  for await (const line of splitLines(stream as AsyncIterable<Uint8Array>)) {
    if (cut !== undefined) {
      const reason = `line ${cut.line}: ${cut.reason}`;
      throw new FederationError("invalid_argument", `resume the export in ${path}: ${reason}`);
    }
    if (line.number === 1 && !(await isHeader(line))) {
      throw new FederationError(
        "invalid_argument",
        `resume the export in ${path}: the file is something else`,
      );
    }
    if (!line.isWhole) break;
    try {
      const found = await parseExportLine(line.text ?? "");
      const sizeBytes = line.end;
      if (found.kind === "memory")
        end = { sizeBytes, lastId: found.memory.id, memories: end.memories + 1, isComplete: false };
      else end = { ...end, sizeBytes, isComplete: found.kind === "end" };
    } catch (error) {
      // A crash of the machine can leave zeros where the last lines were to be.
      cut = { line: line.number, reason: toError(error).message };
    }
  }
  // A header alone is written again.
  return end.lastId === undefined && !end.isComplete ? emptyEnd : end;
}

/** Or the beginning of one. */
async function isHeader({ text = "", isWhole }: Line): Promise<boolean> {
  if (!isWhole) return headerLine().startsWith(text);
  return await parseExportLine(text).then(
    ({ kind }) => kind === "header",
    () => false,
  );
}

/** Answers how many memories were among the lines. */
async function writeLines(
  file: FileHandle,
  lines: AsyncIterable<string>,
  { position, hasHeader }: { readonly position: number; readonly hasHeader: boolean },
): Promise<number> {
  let at = position;
  let waiting: string[] = [];
  let waitingLength = 0;
  let written = hasHeader ? -2 : -1; // the header and the last line are no memories
  const write = async (): Promise<void> => {
    const bytes = Buffer.from(waiting.join(""));
    waiting = [];
    waitingLength = 0;
    for (let done = 0; done < bytes.length;)
      done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    at += bytes.length;
  };
  try {
    for await (const line of lines) {
      waiting.push(line);
      waitingLength += line.length;
      written += 1;
      if (waitingLength >= writeBytes) await write();
    }
  } finally {
    if (waiting.length > 0) await write();
  }
  return written;
}
