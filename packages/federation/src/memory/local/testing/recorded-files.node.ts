import type { JournalFile, JournalFiles } from "../journal-file.node.ts";
import { journalFiles } from "../journal-file.node.ts";

/** The real files, and a list of what was done to them in order: `append <bytes>`, `sync`, `synced`, `folder`. */
export class RecordedFiles implements JournalFiles {
  readonly done: string[] = [];
  readonly appended: number[] = [];

  create(path: string, options: { readonly zerosAhead: boolean }): JournalFile {
    const file = journalFiles.create(path, options);
    const note = (chunks: readonly Uint8Array[]): void => {
      this.done.push("append");
      this.appended.push(chunks.length / 2); // a header and a body each
    };
    return {
      append: (chunks) => {
        note(chunks);
        file.append(chunks);
      },
      appendLater: (chunks) => {
        note(chunks);
        return file.appendLater(chunks);
      },
      sync: async () => {
        this.done.push("sync");
        await file.sync();
        this.done.push("synced");
      },
      isDeleted: () => file.isDeleted(),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      close: () => file.close(),
    };
  }

  syncFolder(path: string): void {
    this.done.push("folder");
    journalFiles.syncFolder(path);
  }
}
