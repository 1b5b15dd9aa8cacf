import type { MemoryRow } from "../memory-row.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import type { DeadLetter } from "./local-store.ts";
import { rowFromJson, rowToJson, vectorFromBytes, vectorToBytes } from "./row-codec.ts";
import { factsOf } from "./row-facts.ts";
import type { RowFacts } from "./row-facts.ts";

/** A row as it is kept: bytes that the journal, the memory and the tables share. */
export interface EncodedRow {
  readonly json: Uint8Array;
  readonly vector: Uint8Array | undefined;
  /** Of both. */
  readonly sizeBytes: number;
}

/** What happens to the outbox entry of a row that is put. */
export type OutboxChange = "keep" | "add" | "drop";

/** What the journal records: results of decisions, so that replaying decides nothing. */
export type Change =
  | {
      readonly kind: "put";
      readonly id: string;
      readonly outbox: OutboxChange;
      readonly facts: RowFacts;
      readonly encoded: EncodedRow;
    }
  | { readonly kind: "remove"; readonly id: string }
  /** The outbox entry of the row is done with. */
  | { readonly kind: "settle"; readonly id: string }
  /** The outbox entry of the row becomes a dead letter. */
  | { readonly kind: "refuse"; readonly letter: DeadLetter }
  /** There is no dead letter at this place any more. */
  | { readonly kind: "release"; readonly place: number }
  | { readonly kind: "fact"; readonly name: string; readonly value: string };

/** A change as the tables need it: what they keep of a row, they read out of its bytes. */
export type TableChange = Exclude<Change, { kind: "put" }> | Omit<Extract<Change, { kind: "put" }>, "facts">;

const kinds = ["put", "remove", "settle", "refuse", "release", "fact"] as const;
const outboxChanges: readonly OutboxChange[] = ["keep", "add", "drop"];
const noBytes = new Uint8Array();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Collects the changes of one record, all or none of which will happen. */
export class ChangeWriter {
  readonly #writer: ByteWriter;
  readonly #changes: Change[] = [];
  /** Those of the rows that are put: where their bytes lie is known when all are there. */
  readonly #rows: RowInRecord[] = [];

  constructor(tenant: string, capacity?: number) {
    this.#writer = new ByteWriter(capacity);
    this.#writer.text(tenant);
  }

  put(row: MemoryRow, outbox: OutboxChange): void {
    const facts = factsOf(row);
    this.#writer.uint8(kinds.indexOf("put"));
    this.#writer.uint8(outboxChanges.indexOf(outbox));
    this.#writer.text(row.id);
    const encoded = this.#row(row);
    this.#rows.push(encoded);
    this.#changes.push({ kind: "put", id: row.id, outbox, facts, encoded });
  }

  remove(id: string): void {
    this.#note({ kind: "remove", id });
  }

  settle(id: string): void {
    this.#note({ kind: "settle", id });
  }

  refuse(letter: DeadLetter): void {
    this.#note({ kind: "refuse", letter });
  }

  release(place: number): void {
    this.#note({ kind: "release", place });
  }

  fact(name: string, value: string): void {
    this.#note({ kind: "fact", name, value });
  }

  get count(): number {
    return this.#changes.length;
  }

  finish(): { readonly body: Uint8Array; readonly changes: readonly Change[] } {
    const body = this.#writer.finish();
    for (const row of this.#rows) row.body = body;
    return { body, changes: this.#changes };
  }

  #note(change: Exclude<Change, { kind: "put" }>): void {
    writeTableChange(this.#writer, change);
    this.#changes.push(change);
  }

  #row(row: MemoryRow): RowInRecord {
    const json = this.#writer.text(rowToJson(row));
    this.#writer.align();
    const vector = this.#writer.bytes(row.embedding === null ? noBytes : vectorToBytes(row.embedding));
    return new RowInRecord(json, vector);
  }
}

type Span = ReturnType<ByteWriter["bytes"]>;

/** A row as part of a record's bytes. Many wait for the tables, and views of the bytes would be most of what each takes of the heap. */
class RowInRecord implements EncodedRow {
  body: Uint8Array = noBytes;
  readonly #jsonStart: number;
  readonly #jsonEnd: number;
  readonly #vectorStart: number;
  readonly #vectorEnd: number;

  constructor(json: Span, vector: Span) {
    this.#jsonStart = json.start;
    this.#jsonEnd = json.end;
    this.#vectorStart = vector.start;
    this.#vectorEnd = vector.end;
  }

  get sizeBytes(): number {
    return this.#jsonEnd - this.#jsonStart + this.#vectorEnd - this.#vectorStart;
  }

  get json(): Uint8Array {
    return this.body.subarray(this.#jsonStart, this.#jsonEnd);
  }

  get vector(): Uint8Array | undefined {
    if (this.#vectorStart === this.#vectorEnd) return undefined;
    return this.body.subarray(this.#vectorStart, this.#vectorEnd);
  }
}

export function decodeChanges(body: Uint8Array): { readonly tenant: string; readonly changes: Change[] } {
  const reader = new ByteReader(body);
  const tenant = reader.text();
  const changes: Change[] = [];
  while (!reader.isAtEnd) changes.push(readChange(reader));
  return { tenant, changes };
}

function readChange(reader: ByteReader): Change {
  const change = readTableChange(reader);
  return change.kind === "put" ? { ...change, facts: factsOf(decodeRow(change.encoded)) } : change;
}

/** As the journal has it, without what deciding needs to know. */
export function readTableChange(reader: ByteReader): TableChange {
  const kind = kinds[reader.uint8()];
  if (kind === undefined) throw new RangeError("a change of a kind that this version does not know");
  switch (kind) {
    case "put": {
      const outbox = outboxChanges[reader.uint8()] ?? "keep";
      const id = reader.text();
      return { kind, id, outbox, encoded: readEncoded(reader) };
    }
    case "remove":
    case "settle":
      return { kind, id: reader.text() };
    case "refuse":
      return { kind, letter: readLetter(reader) };
    case "release":
      return { kind, place: reader.float64() };
    case "fact":
      return { kind, name: reader.text(), value: reader.text() };
  }
}

/** The same bytes again. */
export function writeTableChange(writer: ByteWriter, change: TableChange): void {
  writer.uint8(kinds.indexOf(change.kind));
  switch (change.kind) {
    case "put":
      writer.uint8(outboxChanges.indexOf(change.outbox));
      writer.text(change.id);
      writer.bytes(change.encoded.json);
      writer.align();
      writer.bytes(change.encoded.vector ?? noBytes);
      break;
    case "remove":
    case "settle":
      writer.text(change.id);
      break;
    case "refuse":
      writeLetter(writer, change.letter);
      break;
    case "release":
      writer.float64(change.place);
      break;
    case "fact":
      writer.text(change.name);
      writer.text(change.value);
      break;
  }
}

export function decodeRow(encoded: EncodedRow): MemoryRow {
  const embedding = encoded.vector === undefined ? null : vectorFromBytes(encoded.vector);
  return rowFromJson(textOfRow(encoded.json), embedding);
}

export function textOfRow(json: Uint8Array): string {
  return decoder.decode(json);
}

export function encodeLetter(letter: DeadLetter): Uint8Array {
  const writer = new ByteWriter();
  writeLetter(writer, letter);
  return writer.finish();
}

export function decodeLetter(bytes: Uint8Array): DeadLetter {
  return readLetter(new ByteReader(bytes));
}

function writeLetter(writer: ByteWriter, letter: DeadLetter): void {
  const { row } = letter;
  writer.float64(letter.place);
  for (const text of [letter.reason, letter.code, letter.refused_at, rowToJson(row)]) writer.text(text);
  writer.align();
  writer.bytes(row.embedding === null ? noBytes : vectorToBytes(row.embedding));
}

function readLetter(reader: ByteReader): DeadLetter {
  const place = reader.float64();
  const [reason, code, refused_at] = [reader.text(), reader.text(), reader.text()];
  return { place, reason, code, refused_at, row: decodeRow(readEncoded(reader)) };
}

function readEncoded(reader: ByteReader): EncodedRow {
  const json = reader.bytes();
  reader.align();
  const vector = reader.bytes();
  const sizeBytes = json.length + vector.length;
  return { json, vector: vector.length === 0 ? undefined : vector, sizeBytes };
}
