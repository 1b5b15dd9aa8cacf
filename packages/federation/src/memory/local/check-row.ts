import { FederationError } from "../../runtime/errors.ts";
import { describe } from "../../runtime/json.ts";
import { isDirection, maxContentBytes, maxDimensions, maxIdBytes } from "../check-memory.ts";
import type { MemoryRow } from "../memory-row.ts";
import { microsOf } from "./time-micros.ts";

/** The door of the store: throws FederationError "invalid_argument" or "too_large" on what it could not give back or find again. */
export function checkRow(row: MemoryRow): void {
  checkSize(row.id, "the id of a memory", maxIdBytes);
  if (row.id === "") throw invalid("the id of a memory", "text that is not empty", row.id);
  checkSize(row.content, "the content of a memory", maxContentBytes);
  if (row.embedding !== null) checkVector(row.embedding, "the embedding of a memory");
  for (const time of [row.created_at, row.expires_at, row.deleted_at])
    if (time !== null && Number.isNaN(microsOf(time))) throw invalid("a time of a memory", "ISO 8601", time);
}

/** Throws on what has no direction, or more dimensions than a store takes. */
export function checkVector(vector: Float32Array, what: string): void {
  if (vector.length < 1 || vector.length > maxDimensions)
    throw invalid(what, `1 to ${maxDimensions} numbers`, vector.length);
  if (!isDirection(vector)) throw invalid(what, "finite numbers, not all zero", "others");
}

function checkSize(value: string, what: string, maxBytes: number): void {
  if (value.length * 3 <= maxBytes) return; // no text needs more than three bytes a unit
  const sizeBytes = new TextEncoder().encode(value).length;
  if (sizeBytes > maxBytes)
    throw new FederationError("too_large", `${what}: expected at most ${maxBytes} bytes, got ${sizeBytes}`);
}

function invalid(what: string, expected: string, found: unknown): FederationError {
  return new FederationError("invalid_argument", `${what}: expected ${expected}, got ${describe(found)}`);
}
