import { copyFileSync, readdirSync, readFileSync, renameSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { FederationError } from "../../runtime/errors.ts";
import { decodeChanges } from "./changes.ts";
import { isCutOff, readJournal } from "./journal-codec.ts";
import type { JournalRecord } from "./journal-codec.ts";
import { journalFileNumber } from "./journal.node.ts";

export interface JournalFileContent {
  readonly path: string;
  readonly number: number;
  readonly records: readonly JournalRecord[];
  readonly soundBytes: number;
  readonly sizeBytes: number;
  readonly beyond: readonly JournalRecord[];
  /** Whether behind its last whole record is nothing, or what a write that was cut off leaves. */
  readonly isCutOff: boolean;
}

/** What an opening goes on from. */
export interface Replayed {
  readonly files: readonly JournalFileContent[];
  /** Beyond what the tables have, in order, without gaps. */
  readonly records: readonly JournalRecord[];
  readonly nextFile: number;
  /** How many files a power cut took something of; they are kept beside the others, their names ending in `.lost`. */
  readonly lost: number;
}

export function readJournals(folder: string): JournalFileContent[] {
  const files: JournalFileContent[] = [];
  for (const name of readdirSync(folder)) {
    const number = journalFileNumber(name);
    if (number === undefined) continue;
    const path = join(folder, name);
    const bytes = readFileSync(path);
    const content = readJournal(bytes, crc32);
    const last = content.beyond.at(-1)?.body;
    const end = last === undefined ? content.soundBytes : last.byteOffset + last.length - bytes.byteOffset;
    files.push({ path, number, sizeBytes: bytes.length, ...content, isCutOff: isCutOff(bytes, end, crc32) });
  }
  return files.sort((a, b) => a.number - b.number);
}

/** Whether nothing was ever cut from the journal: then nothing is lost where there are no tables. */
export function holdsEverything(folder: string): boolean {
  return readJournals(folder)[0]?.records[0]?.sequence === 1;
}

/**
 * The records beyond `applied`. A write that was cut off ends the file it is in and is removed. Anything else that is missing is damage,
 * unless the machine was restarted since (`isAfterReboot`) and no later record says that what is missing had been flushed: then a power
 * cut took what was promised to nobody, and the store opens with what comes before it.
 * Throws FederationError "damaged".
 */
export function replayJournals(folder: string, applied: number, isAfterReboot: boolean): Replayed {
  const files = readJournals(folder);
  const records: JournalRecord[] = [];
  const nextFile = (files.at(-1)?.number ?? 0) + 1;
  let expected = applied + 1;
  for (const [at, file] of files.entries()) {
    for (const record of file.records) {
      const end = record.sequence + decodeChanges(record.body).changes.length;
      if (end <= expected) continue; // the tables have it
      if (record.sequence > expected) {
        const isWhole = record === file.records[0];
        if (!isWhole || !isExcused(files.slice(at), expected, isAfterReboot))
          throw damaged({ file, expected, found: record.sequence }, files);
        const lost = files.splice(at);
        for (const { path } of lost) renameSync(path, `${path}.lost`);
        return { files, records, nextFile, lost: lost.length };
      }
      records.push(record);
      expected = end;
    }
    if (file.soundBytes === file.sizeBytes) continue;
    const missed = file.beyond.some((record) => record.sequence + 1 > expected);
    const goesOn = files.slice(at + 1).some((later) => later.records.length > 0); // which shows whether anything is missing
    if (!missed && (file.isCutOff || goesOn)) {
      truncateSync(file.path, file.soundBytes);
      continue;
    }
    if (!isExcused(files.slice(at), expected, isAfterReboot))
      throw damaged({ file, expected, found: file.beyond[0]?.sequence }, files);
    copyFileSync(file.path, `${file.path}.lost`);
    truncateSync(file.path, file.soundBytes);
    const later = files.splice(at + 1);
    for (const { path } of later) renameSync(path, `${path}.lost`);
    return { files, records, nextFile, lost: later.length + 1 };
  }
  return { files, records, nextFile, lost: 0 };
}

/** Whether what is missing from `expected` on was never promised to survive a power cut, and there was one. */
function isExcused(files: readonly JournalFileContent[], expected: number, isAfterReboot: boolean): boolean {
  if (!isAfterReboot) return false;
  return files.every((file) =>
    [...file.records, ...file.beyond].every((record) => record.flushed < expected),
  );
}

function damaged(
  { file, expected, found }: { file: JournalFileContent; expected: number; found: number | undefined },
  files: readonly JournalFileContent[],
): FederationError {
  const sound = files.reduce((sum, { records, beyond }) => sum + records.length + beyond.length, 0);
  return new FederationError(
    "damaged",
    `replay ${file.path}: change ${expected} is missing, byte ${file.soundBytes} of ${file.sizeBytes} is the first that cannot be read, ` +
      `${found === undefined ? "nothing behind it can" : `${found} is the next change that can`}; ${sound} whole records are in the journal`,
    { remedy: "salvageLocalStore reads all that is whole; the folder is left as it is" },
  );
}
