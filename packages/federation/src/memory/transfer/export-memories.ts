import { endLine, headerLine, memoryLine, type EmbeddingText } from "./memory-line.ts";
import type { MemorySource } from "./transfer-memory.ts";

export interface ExportOptions {
  /** Goes on behind this id, without a header: what an interrupted export lacks, to be appended to it. */
  readonly afterId?: string | undefined;
  /** Default `base64`. */
  readonly embeddings?: EmbeddingText | undefined;
  /** Deleted memories too, so that they are deleted where the export is imported. Default false. */
  readonly deleted?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Memories as JSON Lines: a header with the version of the format, one memory a line in the order of ids, and a line that says that this is all. Each text
 * is one line with its line feed. Reads on only as fast as it is read. Rejects with the signal's reason.
 */
export async function* exportMemories(
  source: MemorySource,
  { afterId, embeddings = "base64", deleted = false, signal }: ExportOptions = {},
): AsyncGenerator<string, void> {
  signal?.throwIfAborted();
  if (afterId === undefined) yield `${headerLine()}\n`;
  for await (const memory of source.rows(afterId === undefined ? {} : { afterId })) {
    signal?.throwIfAborted();
    if (deleted || memory.deleted_at == null) yield `${memoryLine(memory, embeddings)}\n`;
  }
  yield `${endLine()}\n`;
}
