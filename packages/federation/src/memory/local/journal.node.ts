import { join } from "node:path";
import { unlink } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { encodeHeader } from "./journal-codec.ts";
import type { JournalFile, JournalFiles } from "./journal-file.node.ts";
import type { Durability } from "./local-store.ts";

/** One record to append. */
export interface JournalEntry {
  readonly sequence: number;
  /** How many sequence numbers its changes take. */
  readonly count: number;
  readonly body: Uint8Array;
}

export interface JournalOptions {
  readonly folder: string;
  readonly durability: Durability;
  readonly files: JournalFiles;
  /** Whether the folder is still the one that was locked. */
  readonly isOurs: () => boolean;
  /** The number of the first file to make. */
  readonly firstFile: number;
  /** The last sequence that is on the disk already. */
  readonly flushed: number;
  /** A file is closed and another one begun beyond this; default 64 MiB. */
  readonly maxFileBytes?: number | undefined;
  /** Called for each record, in order, as soon as it is as durable as promised. */
  readonly onDurable: (entry: JournalEntry) => void;
  /** Called once: nothing that was not durable by then will be. */
  readonly onFailure: (error: unknown) => void;
}

interface ClosedFile {
  readonly path: string;
  readonly lastSequence: number;
}

/** Below this a write is cheaper than a turn of the thread pool, and beyond it it might hold the event loop. */
const smallGroupBytes = 262_144;
const largestGroupBytes = 4_194_304;

/**
 * Appends records. What is given while a write is under way, or within one turn of the event loop, goes to the system in one write, and with
 * `power` shares one flush. After a failure nothing is written any more.
 */
export class Journal {
  readonly #options: JournalOptions;
  readonly #closed: ClosedFile[] = [];
  #queue: JournalEntry[] = [];
  #file: JournalFile | undefined;
  #path = "";
  #fileNumber: number;
  #sizeBytes = 0;
  #lastSequence: number;
  #flushed: number;
  #writing: Promise<void> | undefined;
  #hasFailed = false;
  #removing: Promise<void> = Promise.resolve();

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#fileNumber = options.firstFile;
    this.#lastSequence = options.flushed;
    this.#flushed = options.flushed;
  }

  append(entry: JournalEntry): void {
    this.#queue.push(entry);
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when everything given so far was written, or could not be. */
  async idle(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  /**
   * What this sequence number covers is safe elsewhere: files that hold nothing beyond it go. Resolves when they have gone. The system needs
   * tens of milliseconds for a large one, off the event loop; one after the other, the oldest first, so that none is missing between two.
   */
  cut(sequence: number): Promise<void> {
    this.#flushed = Math.max(this.#flushed, sequence);
    while ((this.#closed[0]?.lastSequence ?? Infinity) <= sequence) {
      const file = this.#closed.shift();
      if (file !== undefined) this.#removing = this.#removing.then(() => this.#remove(file.path));
    }
    return this.#removing;
  }

  /** Ends the file that is being written, so that `cut` can remove it. Call it when idle. */
  endFile(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    this.#closed.push({ path: this.#path, lastSequence: this.#lastSequence });
    file.close();
  }

  /** Files of an earlier process, which `cut` removes as well. */
  adopt(path: string, lastSequence: number): void {
    this.#closed.push({ path, lastSequence });
  }

  async close(): Promise<void> {
    await this.idle();
    await this.#removing;
    this.endFile();
  }

  async #remove(path: string): Promise<void> {
    if (this.#hasFailed) return;
    await unlink(path).catch((error: unknown) => this.#fail(error));
  }

  async #writeAll(): Promise<void> {
    // Everything that can be decided without waiting for the system joins the first write.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    while (this.#queue.length > 0 && !this.#hasFailed) {
      const group = this.#takeGroup();
      try {
        await this.#write(group);
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#writing = undefined;
  }

  async #write(group: readonly JournalEntry[]): Promise<void> {
    const { durability, onDurable } = this.#options;
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const { sequence, body } of group) {
      const sums = { sequence, flushed: this.#flushed, sizeBytes: body.length, bodySum: crc32(body) };
      const header = encodeHeader(sums, crc32);
      chunks.push(header, body);
      sizeBytes += header.length + body.length;
    }
    const file = this.#open();
    if (sizeBytes <= smallGroupBytes) file.append(chunks);
    else await file.appendLater(chunks);
    if (durability === "power") await file.sync();
    if (file.isDeleted()) throw new Error(`${this.#path} was deleted while it was in use`);
    this.#sizeBytes += sizeBytes;
    const last = group.at(-1);
    if (last !== undefined) this.#lastSequence = last.sequence + last.count - 1;
    if (durability === "power") this.#flushed = this.#lastSequence;
    for (const entry of group) onDurable(entry);
    if (this.#sizeBytes > (this.#options.maxFileBytes ?? 67_108_864)) this.endFile();
  }

  #open(): JournalFile {
    if (this.#file !== undefined) return this.#file;
    const { files, folder, durability, isOurs } = this.#options;
    if (!isOurs()) throw new Error(`${folder} was deleted while it was in use`);
    this.#path = join(folder, journalFileName(this.#fileNumber));
    this.#file = files.create(this.#path, { zerosAhead: durability === "power" });
    this.#fileNumber += 1;
    this.#sizeBytes = 0;
    if (durability === "power") files.syncFolder(folder);
    return this.#file;
  }

  #takeGroup(): readonly JournalEntry[] {
    let sizeBytes = 0;
    const first = this.#queue[0];
    let length = first === undefined ? 0 : 1;
    for (const { body } of this.#queue.slice(1, 512)) {
      sizeBytes += body.length;
      if (sizeBytes + (first?.body.length ?? 0) > largestGroupBytes) break;
      length += 1;
    }
    return this.#queue.splice(0, length);
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#queue = [];
    try {
      this.#file?.truncate(this.#sizeBytes); // what was not acknowledged shall not come back
    } catch {
      // Then it may: whoever was refused cannot know.
    }
    this.#options.onFailure(error);
  }
}

export function journalFileName(number: number): string {
  return `journal-${String(number).padStart(10, "0")}.log`;
}

export function journalFileNumber(name: string): number | undefined {
  const digits = /^journal-(\d{10,})\.log$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
