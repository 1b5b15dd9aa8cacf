/*
 * A journal is a row of records:
 *   mark u32 · body length u32 · checksum of the body u32 · sequence f64 · flushed f64 · checksum of these 28 bytes u32 · body
 * `sequence` is the number of the record's first change, and the next record goes on where this one's changes end. `flushed` is the
 * highest sequence that was known to be on the disk when the record was written: what it covers cannot have been lost by a power cut.
 * A file that zeros are written ahead of begins with a byte that no record begins with, and has the same byte behind its last record, where
 * the next will begin. So only zeros follow a write that was cut off, and something else a whole record, whatever that ends with.
 */
export type Checksum = (bytes: Uint8Array, seed?: number) => number;

export interface JournalRecord {
  readonly sequence: number;
  readonly flushed: number;
  readonly body: Uint8Array;
}

export const headerBytes = 32;
const mark = 0x4c4a4641; // "AFJL"
/** Before and behind the records of a file that zeros are written ahead of. */
export const aheadMark: Uint8Array = Uint8Array.of(0xff);

/** The bytes before the body. */
export function encodeHeader(
  record: {
    readonly sequence: number;
    readonly flushed: number;
    readonly sizeBytes: number;
    readonly bodySum: number;
  },
  checksum: Checksum,
): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, mark, true);
  view.setUint32(4, record.sizeBytes, true);
  view.setUint32(8, record.bodySum, true);
  view.setFloat64(12, record.sequence, true);
  view.setFloat64(20, record.flushed, true);
  view.setUint32(28, checksum(bytes.subarray(0, 28)), true);
  return bytes;
}

export type Decoded =
  | { readonly kind: "record"; readonly record: JournalRecord; readonly next: number }
  | { readonly kind: "end" }
  /** Not a whole record: torn, or damaged. */
  | { readonly kind: "broken" };

/** The record that begins at `offset`. */
export function decodeAt(bytes: Uint8Array, offset: number, checksum: Checksum): Decoded {
  if (offset === bytes.length) return { kind: "end" };
  const bodyAt = offset + headerBytes;
  if (bodyAt > bytes.length) return { kind: "broken" };
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, headerBytes);
  if (view.getUint32(0, true) !== mark) return { kind: "broken" };
  if (view.getUint32(28, true) !== checksum(bytes.subarray(offset, offset + 28))) return { kind: "broken" };
  const next = bodyAt + view.getUint32(4, true);
  if (next > bytes.length) return { kind: "broken" };
  const body = bytes.subarray(bodyAt, next);
  if (view.getUint32(8, true) !== checksum(body)) return { kind: "broken" };
  const record = { sequence: view.getFloat64(12, true), flushed: view.getFloat64(20, true), body };
  return { kind: "record", record, next };
}

/** What one journal file holds. */
export interface JournalContent {
  /** Up to the first broken place. */
  readonly records: readonly JournalRecord[];
  /** Where the first broken place begins; the length of the file, zeros behind the last record included, where there is none. */
  readonly soundBytes: number;
  /** Whole records behind a broken place. None: the file ends with a write that was cut off. */
  readonly beyond: readonly JournalRecord[];
}

export function readJournal(bytes: Uint8Array, checksum: Checksum): JournalContent {
  const records: JournalRecord[] = [];
  const beyond: JournalRecord[] = [];
  let soundBytes: number | undefined;
  const { isAhead, end } = boundsOf(bytes);
  for (let offset = isAhead ? 1 : 0; offset < end;) {
    if (isAhead && offset === end - 1 && bytes[offset] === aheadMark[0]) break;
    const found = decodeAt(bytes, offset, checksum);
    if (found.kind === "record") {
      (soundBytes === undefined ? records : beyond).push(found.record);
      offset = found.next;
    } else {
      soundBytes ??= offset;
      offset = nextMark(bytes, offset + 1);
    }
  }
  return { records, soundBytes: soundBytes ?? bytes.length, beyond };
}

/** Whether what begins at `offset` is the beginning of a record and no more: what a write that was cut off leaves at the end of a file. */
export function isCutOff(bytes: Uint8Array, offset: number, checksum: Checksum): boolean {
  const { end } = boundsOf(bytes);
  if (offset + headerBytes > end) return true;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, headerBytes);
  if (view.getUint32(0, true) !== mark) return false;
  if (view.getUint32(28, true) !== checksum(bytes.subarray(offset, offset + 28))) return false;
  return offset + headerBytes + view.getUint32(4, true) > end;
}

/** Where the last byte is that can be of a record, or the mark behind the last one. */
function boundsOf(bytes: Uint8Array): { readonly isAhead: boolean; readonly end: number } {
  const isRecord = bytes[1] === ((mark >>> 8) & 0xff); // whose first byte was changed
  const isAhead = bytes[0] === aheadMark[0] && !isRecord;
  let end = bytes.length;
  while (isAhead && end > 1 && bytes[end - 1] === 0) end -= 1;
  return { isAhead, end };
}

function nextMark(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(mark & 0xff, from); at !== -1; at = bytes.indexOf(mark & 0xff, at + 1)) {
    if (at + 4 > bytes.length) break;
    if (new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true) === mark) return at;
  }
  return bytes.length;
}
