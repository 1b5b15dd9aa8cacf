import {
  closeSync,
  fdatasync,
  fsyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  writev,
  writevSync,
} from "node:fs";
import { promisify } from "node:util";

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
  truncate(sizeBytes: number): void;
  close(): void;
}

export interface JournalFiles {
  create(path: string): JournalFile;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): void;
}

const syncData = promisify(fdatasync);

export const journalFiles: JournalFiles = {
  create: (path) => new AppendedFile(openSync(path, "ax")),
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

  constructor(fd: number) {
    this.#fd = fd;
  }

  append(chunks: readonly Uint8Array[]): void {
    let rest = chunks;
    while (rest.length > 0) rest = after(rest, writevSync(this.#fd, rest.slice(0, mostChunks)));
  }

  async appendLater(chunks: readonly Uint8Array[]): Promise<void> {
    let rest = chunks;
    while (rest.length > 0) rest = after(rest, await writeChunks(this.#fd, rest.slice(0, mostChunks)));
  }

  sync(): Promise<void> {
    return syncData(this.#fd);
  }

  isDeleted(): boolean {
    return fstatSync(this.#fd).nlink === 0;
  }

  truncate(sizeBytes: number): void {
    ftruncateSync(this.#fd, sizeBytes);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const mostChunks = 1_024; // IOV_MAX of Linux and macOS

function writeChunks(fd: number, chunks: readonly Uint8Array[]): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(fd, chunks, (error, written) => (error === null ? resolve(written) : reject(error)));
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
