import type { IncomingMessage } from "node:http";

/** Below this, a text is cheaper than memory that threads share. */
const manyBytes = 64 * 1024;

/**
 * The body as text, or as bytes where they are many: making a text of a large one, and a copy of that for another thread,
 * would hold up everybody else's messages for some milliseconds. Undefined where it is larger than `maxBytes`. Rejects when
 * the client went away.
 */
export async function readBody(
  request: IncomingMessage,
  maxBytes: number,
): Promise<string | SharedArrayBuffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    // Without an encoding a request yields Buffers.
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > maxBytes) return undefined;
    chunks.push(bytes);
  }
  return size < manyBytes ? Buffer.concat(chunks).toString("utf8") : shared(chunks, size);
}

function shared(chunks: readonly Buffer[], size: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(size);
  const bytes = new Uint8Array(memory);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return memory;
}
