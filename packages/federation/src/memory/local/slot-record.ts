import { Blocks } from "../blocks.ts";
import type { RowState } from "./row-facts.ts";

/** What is kept by slot and read when the store opens: the columns, and the quantised vector. */
export interface SlotRecord {
  readonly state: RowState;
  /** Numbers of names. */
  readonly agent: number;
  readonly session: number;
  readonly model: number;
  readonly createdMicros: number;
  readonly endMicros: number;
  /** 0 without a vector. */
  readonly dimensions: number;
  readonly code: Uint8Array;
}

const states: readonly RowState[] = ["living", "superseded", "deleted"];
const columnBytes = 31;
const blocks = new Blocks();

export function encodeSlot(record: SlotRecord): Uint8Array {
  const bytes = blocks.bytes(columnBytes + record.code.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint8(0, states.indexOf(record.state));
  view.setUint32(1, record.agent, true);
  view.setUint32(5, record.session, true);
  view.setUint32(9, record.model, true);
  view.setFloat64(13, record.createdMicros, true);
  view.setFloat64(21, record.endMicros, true);
  view.setUint16(29, record.dimensions, true);
  bytes.set(record.code, columnBytes);
  return bytes;
}

/** Undefined for what cannot be one. */
export function decodeSlot(bytes: Uint8Array): SlotRecord | undefined {
  if (bytes.length < columnBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const state = states[view.getUint8(0)];
  return (
    state && {
      state,
      agent: view.getUint32(1, true),
      session: view.getUint32(5, true),
      model: view.getUint32(9, true),
      createdMicros: view.getFloat64(13, true),
      endMicros: view.getFloat64(21, true),
      dimensions: view.getUint16(29, true),
      code: bytes.subarray(columnBytes),
    }
  );
}
