import type { MemoryRow } from "../../memory-row.ts";

/** A row for tests: complete, with what is given in place of the defaults. */
export function rowOf(row: Partial<MemoryRow> & { readonly id: string }): MemoryRow {
  return {
    agent_id: "writer",
    session_id: null,
    session_agent: null,
    content: `content of ${row.id}`,
    embedding: null,
    embedding_model: null,
    metadata: {},
    source: null,
    scope: "tenant",
    written_by: "writer",
    content_hash: "0".repeat(64),
    supersedes: null,
    superseded_by: null,
    version: 1,
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
    expires_at: null,
    deleted_at: null,
    hlc: { ms: 1, counter: 0, writer: "writer" },
    ...row,
  };
}

/** What is left of a row that was deleted. */
export function tombstoneOf(row: MemoryRow, deletedAt: string, ms: number): MemoryRow {
  return {
    ...row,
    content: "",
    embedding: null,
    embedding_model: null,
    metadata: {},
    source: null,
    deleted_at: deletedAt,
    version: row.version + 1,
    hlc: { ...row.hlc, ms },
  };
}
