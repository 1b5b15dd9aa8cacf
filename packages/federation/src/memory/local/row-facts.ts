import type { Hlc, MemoryRow } from "../memory-row.ts";
import { microsOf } from "./time-micros.ts";

/** `living` includes what has expired: that depends on when one asks. */
export type RowState = "living" | "superseded" | "deleted";

/** What deciding and filtering need of a row, without its content. */
export interface RowFacts {
  readonly agent: string;
  readonly session: string | null;
  readonly model: string | null;
  readonly state: RowState;
  readonly version: number;
  readonly hlc: Hlc;
  readonly createdMicros: number;
  /** When it expires, or, of a deleted one, when it was deleted. Infinity: never. */
  readonly endMicros: number;
}

export function factsOf(row: MemoryRow): RowFacts {
  const state = stateOf(row);
  const end = state === "deleted" ? row.deleted_at : row.expires_at;
  return {
    agent: row.agent_id,
    session: row.session_id,
    model: row.embedding_model,
    state,
    version: row.version,
    hlc: row.hlc,
    createdMicros: microsOf(row.created_at),
    endMicros: end === null ? Infinity : microsOf(end),
  };
}

export function stateOf(row: MemoryRow): RowState {
  if (row.deleted_at !== null) return "deleted";
  return row.superseded_by === null ? "living" : "superseded";
}
