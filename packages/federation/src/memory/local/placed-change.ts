import type { WordIndex } from "../words/word-index.ts";
import type { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { readTableChange, writeTableChange } from "./changes.ts";
import type { TableChange } from "./changes.ts";

/** A change that has been acknowledged, with what the memory made of it: all that the tables need to know. */
export interface PlacedChange<Tenant extends TenantWords = TenantWords> {
  readonly sequence: number;
  readonly tenant: Tenant;
  readonly change: TableChange;
  /** Of the row; -1 where the change has none. */
  readonly slot: number;
  /** Nothing was at the slot before. */
  readonly isNew: boolean;
  /** Columns and quantised vector of a row that was put. */
  readonly record: Uint8Array | undefined;
  /** The place of the outbox entry that this ends. */
  readonly endedPlace: number | undefined;
}

/** A tenant's number, and the index of its words that is written with its rows. */
export interface TenantWords {
  readonly number: number;
  readonly words: WordIndex;
}

/** What the tables are to know of a tenant itself: its name, and texts that got numbers, which are given without gaps. */
export interface TenantNews {
  readonly number: number;
  readonly name: string;
  readonly firstText: number;
  readonly texts: readonly string[];
}

export interface TableBatch {
  readonly tenants: readonly TenantNews[];
  readonly changes: readonly PlacedChange[];
}

/** About how many bytes `writePlaced` takes. */
export function roughBytesOf({ change, record }: PlacedChange): number {
  return 256 + (record?.length ?? 0) + (change.kind === "put" ? change.encoded.sizeBytes : 0);
}

export function writePlaced(writer: ByteWriter, placed: PlacedChange): void {
  writer.float64(placed.sequence);
  writer.uint32(placed.tenant.number);
  writer.uint32(placed.slot + 1);
  writer.uint8(placed.isNew ? 1 : 0);
  writer.float64(placed.endedPlace ?? -1);
  writer.bytes(placed.record ?? none);
  writeTableChange(writer, placed.change);
}

export function readPlaced(reader: ByteReader, tenantOf: (number: number) => TenantWords): PlacedChange {
  const sequence = reader.float64();
  const tenant = tenantOf(reader.uint32());
  const slot = reader.uint32() - 1;
  const isNew = reader.uint8() === 1;
  const endedPlace = reader.float64();
  const record = reader.bytes();
  return {
    sequence,
    tenant,
    slot,
    isNew,
    record: record.length === 0 ? undefined : record,
    endedPlace: endedPlace < 0 ? undefined : endedPlace,
    change: readTableChange(reader),
  };
}

const none = new Uint8Array();
