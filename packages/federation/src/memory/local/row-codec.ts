import type { MemoryScope } from "../memory.ts";
import type { MemoryRow } from "../memory-row.ts";

/**
 * A row without its embedding, as a JSON array in this order; the embedding lies beside it as float32. The order is part of the folder's
 * format: fields are added at the end.
 */
export function rowToJson(row: MemoryRow): string {
  return JSON.stringify([
    row.id,
    row.agent_id,
    row.session_id,
    row.content,
    row.embedding_model,
    row.metadata,
    row.source ?? null,
    row.scope,
    row.written_by,
    row.content_hash,
    row.supersedes,
    row.superseded_by,
    row.version,
    row.created_at,
    row.updated_at,
    row.expires_at,
    row.deleted_at,
    row.hlc.ms,
    row.hlc.counter,
    row.hlc.writer,
    row.session_agent,
  ]);
}

type Fields = [
  string,
  string,
  string | null,
  string,
  string | null,
  Record<string, unknown>,
  unknown,
  MemoryScope,
  string,
  string,
  string | null,
  string | null,
  number,
  string,
  string,
  string | null,
  string | null,
  number,
  number,
  string,
  (string | null)?, // since format 1 had none
]; // prettier keeps the order readable

export function rowFromJson(json: string, embedding: Float32Array | null): MemoryRow {
  const fields = JSON.parse(json) as Fields; // its checksum says that rowToJson wrote it
  return {
    id: fields[0],
    agent_id: fields[1],
    session_id: fields[2],
    session_agent: fields[20] ?? null,
    content: fields[3],
    embedding,
    embedding_model: fields[4],
    metadata: fields[5],
    source: fields[6],
    scope: fields[7],
    written_by: fields[8],
    content_hash: fields[9],
    supersedes: fields[10],
    superseded_by: fields[11],
    version: fields[12],
    created_at: fields[13],
    updated_at: fields[14],
    expires_at: fields[15],
    deleted_at: fields[16],
    hlc: { ms: fields[17], counter: fields[18], writer: fields[19] },
  };
}

export function vectorToBytes(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** For reading at once: a copy only where the bytes lie where no 32-bit numbers may. */
export function vectorView(bytes: Uint8Array): Float32Array {
  if (bytes.byteOffset % 4 !== 0) return vectorFromBytes(bytes);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** A copy: the bytes may lie anywhere, and be written over. */
export function vectorFromBytes(bytes: Uint8Array): Float32Array {
  const copy = new Float32Array(bytes.byteLength / 4);
  vectorToBytes(copy).set(bytes);
  return copy;
}
