/** Text or bytes in pieces of any size: an AsyncIterable, or a stream of the web platform. */
export type Chunks =
  | AsyncIterable<string | Uint8Array>
  | Iterable<string | Uint8Array>
  | ReadableStream<string | Uint8Array>;

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Undefined where the bytes are no UTF-8, or the line is longer than `maxBytes`. */
  readonly text: string | undefined;
  /** What is wrong where there is no text. */
  readonly problem: string | undefined;
  /** Bytes up to the next line. */
  readonly end: number;
  /** Whether it ended with a line feed: the last line of a file that was cut off does not. */
  readonly isWhole: boolean;
}

// A memory of 1 MiB of content and as much metadata and source, escaped in the longest way, with 4,096 numbers.
const longestLineBytes = 20 * 1024 * 1024;

const encoder = new TextEncoder();

/** The lines of what comes in, empty ones left out (they count). A line that is too long is not held. */
export async function* splitLines(chunks: Chunks, maxBytes: number = longestLineBytes): AsyncGenerator<Line> {
  const line = new LineBytes(maxBytes);
  for await (const bytes of bytesOf(chunks)) {
    let start = 0;
    for (let feed = bytes.indexOf(10); feed !== -1; feed = bytes.indexOf(10, start)) {
      line.add(bytes.subarray(start, feed));
      start = feed + 1;
      const found = line.take(true);
      if (found.text !== "") yield found;
    }
    line.add(bytes.subarray(start));
  }
  if (line.hasBytes) {
    const found = line.take(false);
    if (found.text !== "") yield found;
  }
}

/** The bytes of the line that is being read. */
class LineBytes {
  readonly #maxBytes: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #parts: Uint8Array[] = [];
  #length = 0;
  #number = 1;
  #end = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get hasBytes(): boolean {
    return this.#length > 0;
  }

  add(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (this.#length <= this.#maxBytes) this.#parts.push(bytes.slice());
    else this.#parts = [];
  }

  take(isWhole: boolean): Line {
    const number = this.#number++;
    const isTooLong = this.#length > this.#maxBytes;
    const bytes = joined(this.#parts);
    this.#parts = [];
    this.#end += this.#length + (isWhole ? 1 : 0);
    this.#length = 0;
    const line = { number, text: undefined, problem: undefined, end: this.#end, isWhole };
    if (isTooLong) return { ...line, problem: `expected at most ${this.#maxBytes} bytes` };
    try {
      // The decoder leaves out a byte order mark.
      return { ...line, text: this.#decoder.decode(bytes).trim() };
    } catch {
      return { ...line, problem: "expected UTF-8" };
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

async function* bytesOf(chunks: Chunks): AsyncGenerator<Uint8Array> {
  let half = ""; // the first of two units of a character that two chunks share
  for await (const chunk of iterated(chunks)) {
    if (typeof chunk !== "string") {
      yield chunk;
      continue;
    }
    const text = half + chunk;
    half = /[\ud800-\udbff]$/.test(text) ? text.slice(-1) : "";
    yield encoder.encode(half === "" ? text : text.slice(0, -1));
  }
  if (half !== "") yield encoder.encode(half);
}

/** Streams cannot be iterated in all browsers. */
async function* iterated(chunks: Chunks): AsyncGenerator<string | Uint8Array> {
  if (!("getReader" in chunks)) return yield* chunks;
  const reader = chunks.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}
