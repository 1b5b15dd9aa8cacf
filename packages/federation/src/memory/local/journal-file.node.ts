import {
  closeSync,
  fdatasync,
  fsyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  writeSync,
  writev,
  writevSync,
} from "node:fs";
import { promisify } from "node:util";
import { aheadMark } from "./journal-codec.ts";

/** The few operations on the disk that a promise depends on; tests put a layer of their own here. */
export interface JournalFile {
  /** Appends all of it with one write, or as many as the system needs. */
  append(chunks: readonly Uint8Array[]): void;
  /** The same off the event loop, for what is large. */
  appendLater(chunks: readonly Uint8Array[]): Promise<void>;
  /** Resolves when everything appended is on the disk. */
  sync(): Promise<void>;
  /** Whether nothing names the file any more: what is written to it is lost as soon as it is closed. */
  isDeleted(): boolean;
  /** Leaves the first `sizeBytes` of what was appended. */
  truncate(sizeBytes: number): void;
  close(): void;
}

export interface JournalFiles {
  /** With `zerosAhead` it is longer than what was appended: a flush that need not make a file longer takes half the time. */
  create(path: string, options?: { readonly zerosAhead: boolean }): JournalFile;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): void;
}

const syncData = promisify(fdatasync);

export const journalFiles: JournalFiles = {
  create: (path, { zerosAhead } = { zerosAhead: false }) =>
    new AppendedFile(openSync(path, "wx"), zerosAhead),
  syncFolder(path) {
    if (process.platform === "win32") return; // folders cannot be opened there, and need not be
    const folder = openSync(path, "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  },
};

class AppendedFile implements JournalFile {
  readonly #fd: number;
  readonly #zerosAhead: boolean;
  readonly #beginsAt: number;
  /** Where what was appended ends. */
  #endAt: number;
  /** Where what was written ends, zeros included. */
  #sizeBytes = 0;

  constructor(fd: number, zerosAhead: boolean) {
    this.#fd = fd;
    this.#zerosAhead = zerosAhead;
    this.#beginsAt = zerosAhead ? writeSync(fd, aheadMark) : 0;
    this.#endAt = this.#beginsAt;
  }

  append(chunks: readonly Uint8Array[]): void {
    let at = this.#endAt;
    for (let rest = this.#withEnd(chunks); rest.length > 0;) {
      const written = writevSync(this.#fd, rest.slice(0, mostChunks), at);
      at += written;
      rest = after(rest, written);
    }
  }

  async appendLater(chunks: readonly Uint8Array[]): Promise<void> {
    let at = this.#endAt;
    for (let rest = this.#withEnd(chunks); rest.length > 0;) {
      const written = await writeChunks(this.#fd, rest.slice(0, mostChunks), at);
      at += written;
      rest = after(rest, written);
    }
  }

  /** What is to be written: the chunks begin where the last ended. */
  #withEnd(chunks: readonly Uint8Array[]): readonly Uint8Array[] {
    const sizeBytes = chunks.reduce((sum, { length }) => sum + length, 0);
    this.#endAt += sizeBytes;
    if (!this.#zerosAhead) return chunks;
    if (this.#endAt >= this.#sizeBytes) {
      // First, so that a write that is cut off has zeros behind it. What is large would gain little, and be written half as large again.
      const length = sizeBytes > largestWithZeros ? aheadMark.length : zeros.length;
      this.#sizeBytes = this.#endAt + writeSync(this.#fd, zeros, 0, length, this.#endAt);
    }
    return [...chunks, aheadMark];
  }

  sync(): Promise<void> {
    return syncData(this.#fd);
  }

  isDeleted(): boolean {
    return fstatSync(this.#fd).nlink === 0;
  }

  truncate(sizeBytes: number): void {
    ftruncateSync(this.#fd, this.#beginsAt + sizeBytes);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const zeros = new Uint8Array(262_144);
const largestWithZeros = 65_536;
const mostChunks = 1_024; // IOV_MAX of Linux and macOS

function writeChunks(fd: number, chunks: readonly Uint8Array[], at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(fd, chunks, at, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}

/** What is left when the first `written` bytes are gone. */
function after(chunks: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let skipped = 0;
  for (let at = 0; at < chunks.length; at++) {
    const chunk = chunks[at];
    if (chunk === undefined) break;
    if (skipped + chunk.length > written) return [chunk.subarray(written - skipped), ...chunks.slice(at + 1)];
    skipped += chunk.length;
  }
  return [];
}
