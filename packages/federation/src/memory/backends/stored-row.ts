import { isRecord } from "../../runtime/json.ts";
import type { CheckedMemory, CheckedVector } from "../check-memory.ts";
import type { StoredMemory } from "../memory.ts";
import type { Hlc, MemoryRow } from "../memory-row.ts";

/** A row of the local store as callers see it. */
export function storedOf(row: MemoryRow, tenantId: string): StoredMemory {
  return {
    id: row.id,
    tenant_id: tenantId,
    agent_id: row.agent_id,
    session_id: row.session_id,
    content: row.content,
    embedding: row.embedding === null ? null : numbersOf(row.embedding),
    embedding_model: row.embedding_model,
    metadata: row.metadata,
    source: row.source,
    scope: row.scope,
    written_by: row.written_by,
    content_hash: row.content_hash,
    supersedes: row.supersedes,
    superseded_by: row.superseded_by,
    version: row.version,
    created_at: row.created_at,
    updated_at: row.updated_at,
    expires_at: row.expires_at,
  };
}

/** What a write brings beside the memory. */
export interface RowStamp {
  readonly hlc: Hlc;
  /** ISO 8601, by the server's clock as far as it is known. */
  readonly now: string;
  readonly expiresAt: string | null;
  readonly contentHash: string;
  /** Whose session it is, of scope `session` (memory-row.ts). */
  readonly sessionAgent: string | null;
}

/** The row of a memory that takes the place of `held`. A memory is replaced as a whole, as the database does it. */
export function rowOf(memory: CheckedMemory, held: MemoryRow | undefined, stamp: RowStamp): MemoryRow {
  const living = held === undefined || held.deleted_at !== null ? undefined : held;
  return {
    id: memory.id,
    agent_id: memory.agent_id,
    session_id: memory.session_id ?? null,
    session_agent: stamp.sessionAgent,
    content: memory.content,
    embedding: memory.embedding === undefined ? null : float32Of(memory.embedding),
    embedding_model: memory.embedding_model ?? null,
    metadata: memory.metadata ?? {},
    source: memory.source ?? null,
    scope: memory.scope ?? "tenant",
    written_by: memory.agent_id,
    content_hash: stamp.contentHash,
    supersedes: memory.supersedes ?? null,
    superseded_by: living?.superseded_by ?? null,
    version: (held?.version ?? 0) + 1,
    // What comes back after its deletion is a new memory under an old id.
    created_at: living?.created_at ?? memory.created_at ?? stamp.now,
    updated_at: stamp.now,
    expires_at: stamp.expiresAt,
    deleted_at: null,
    hlc: stamp.hlc,
  };
}

/** What is left of a deleted memory. */
export function tombstoneOf(held: MemoryRow, { hlc, now }: Pick<RowStamp, "hlc" | "now">): MemoryRow {
  return {
    ...held,
    content: "",
    content_hash: "",
    embedding: null,
    embedding_model: null,
    metadata: {},
    source: null,
    version: held.version + 1,
    updated_at: now,
    deleted_at: now,
    hlc,
  };
}

/** Whether writing `row` over `held` would change anything that a writer decides. */
export function isSameMemory(held: MemoryRow, row: MemoryRow): boolean {
  return (
    held.deleted_at === null &&
    held.session_id === row.session_id &&
    held.content === row.content &&
    held.embedding_model === row.embedding_model &&
    held.scope === row.scope &&
    held.supersedes === row.supersedes &&
    isSameTime(held.expires_at, row.expires_at) &&
    isSameVector(held.embedding, row.embedding) &&
    isSameJson(held.metadata, row.metadata) &&
    isSameJson(held.source, row.source)
  );
}

/** What was checked is nobody else's, and need not be copied. */
export function float32Of(vector: CheckedVector): Float32Array {
  return vector instanceof Float32Array ? vector : new Float32Array(vector);
}

function numbersOf(vector: Float32Array): number[] {
  // oxlint-disable-next-line unicorn/no-new-array -- a list that grows takes three times as long
  const numbers = new Array<number>(vector.length);
  for (let at = 0; at < vector.length; at++) numbers[at] = vector[at] ?? 0;
  return numbers;
}

function isSameTime(a: string | null, b: string | null): boolean {
  return a === b || (a !== null && b !== null && Date.parse(a) === Date.parse(b));
}

function isSameVector(a: Float32Array | null, b: Float32Array | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

/** As jsonb compares: the order of keys means nothing. */
function isSameJson(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((each, at) => isSameJson(each, b[at]));
  }
  if (!isRecord(a) || !isRecord(b)) return a === b;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && isSameJson(a[key], b[key]))
  );
}
