import { FederationError } from "../../runtime/errors.ts";
import { isRecord, numberField, stringField } from "../../runtime/json.ts";
import type { Hlc, MemoryRow } from "../memory-row.ts";
import type { ServerRow } from "./sync-server.ts";
import { vectorText } from "./vector-text.ts";

/** A row as push_memories takes it (docs/schema.md). */
export function encodeRow(row: MemoryRow): Readonly<Record<string, unknown>> {
  const { id, agent_id, session_id, scope, supersedes, created_at, expires_at, deleted_at, hlc } = row;
  const always = { id, agent_id, session_id, scope, supersedes, created_at, expires_at, deleted_at, hlc };
  if (deleted_at !== null) return always;
  const { content, embedding, embedding_model, metadata, source } = row;
  return {
    ...always,
    content,
    embedding: embedding === null ? null : vectorText(embedding),
    embedding_model,
    metadata,
    source,
  };
}

/** A row of push_memories, pull_memories or read_memories. Throws FederationError "protocol", naming keys and no content. */
export function parseRow(value: unknown): ServerRow {
  if (!isRecord(value)) throw notARow(value, "an object");
  const { embedding, metadata, scope } = value;
  const agent = text(value, "agent_id");
  const row: MemoryRow = {
    id: text(value, "id"),
    agent_id: agent,
    session_id: stringField(value, "session_id") ?? null,
    session_agent: stringField(value, "session_agent") ?? null,
    content: stringField(value, "content") ?? "",
    embedding: parseVector(embedding),
    embedding_model: stringField(value, "embedding_model") ?? null,
    metadata: isRecord(metadata) ? metadata : {},
    source: value["source"] ?? null,
    scope: scope === "agent" || scope === "session" ? scope : "tenant",
    written_by: stringField(value, "written_by") ?? agent,
    content_hash: stringField(value, "content_hash") ?? "",
    supersedes: stringField(value, "supersedes") ?? null,
    superseded_by: stringField(value, "superseded_by") ?? null,
    version: number(value, "version"),
    created_at: text(value, "created_at"),
    updated_at: text(value, "updated_at"),
    expires_at: stringField(value, "expires_at") ?? null,
    deleted_at: stringField(value, "deleted_at") ?? null,
    hlc: parseHlc(value),
  };
  return { row, seq: number(value, "seq"), isBrief: !("content" in value) };
}

function parseHlc({ hlc }: Readonly<Record<string, unknown>>): Hlc {
  if (!isRecord(hlc)) throw notARow(hlc, "a clock");
  return { ms: number(hlc, "ms"), counter: number(hlc, "counter"), writer: text(hlc, "writer") };
}

function parseVector(value: unknown): Float32Array | null {
  if (typeof value === "string" && value.startsWith("[")) return parseVector(JSON.parse(value));
  // Not `from` with a function: that takes longer than parsing the JSON did.
  return Array.isArray(value) ? new Float32Array(value) : null;
}

function text(record: Readonly<Record<string, unknown>>, name: string): string {
  const value = stringField(record, name);
  if (value === undefined) throw notARow(record, `text in ${name}`);
  return value;
}

function number(record: Readonly<Record<string, unknown>>, name: string): number {
  const value = numberField(record, name);
  if (value === undefined) throw notARow(record, `a number in ${name}`);
  return value;
}

function notARow(value: unknown, expected: string): FederationError {
  const found = isRecord(value) ? `keys ${Object.keys(value).join(", ")}` : typeof value;
  return new FederationError("protocol", `a memory of the sync: expected ${expected}, found ${found}`);
}
