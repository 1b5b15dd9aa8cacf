import { requireId } from "../../config/ids.ts";
import { FederationError, toError } from "../../runtime/errors.ts";
import { describe, isRecord } from "../../runtime/json.ts";
import {
  checkEmbedding,
  checkJson,
  checkMetadata,
  checkText,
  maxContentBytes,
  maxIdBytes,
} from "../check-memory.ts";
import { hashOfText } from "../embed/hash-of-text.ts";
import type { Hlc } from "../memory-row.ts";
import { decodeFloats, encodeFloats } from "./float-text.ts";
import type { TransferMemory } from "./transfer-memory.ts";

const format = "agent-federation-memories";
const version = 1;

/** How embeddings are written; both are exact (but numbers have no −0), and both are read. Base64 is a fourth of the size, numbers anybody can read. */
export type EmbeddingText = "base64" | "numbers";

/** What one line of an export says. */
export type ExportLine =
  | { readonly kind: "header" }
  | { readonly kind: "memory"; readonly memory: TransferMemory }
  /** Nothing is missing before it. */
  | { readonly kind: "end" };

export function headerLine(): string {
  return JSON.stringify({ format, version });
}

export function endLine(): string {
  return JSON.stringify({ format, end: true });
}

/** The memory as JSON; fields that are null are left out. */
export function memoryLine(memory: TransferMemory, embeddings: EmbeddingText): string {
  const { embedding, deleted_at, hlc, source } = memory;
  const fields = {
    id: memory.id,
    agent_id: memory.agent_id,
    session_id: memory.session_id ?? undefined,
    scope: memory.scope,
    content: memory.content,
    content_hash: memory.content_hash,
    metadata: memory.metadata,
    source: source ?? undefined,
    supersedes: memory.supersedes ?? undefined,
    superseded_by: memory.superseded_by ?? undefined,
    written_by: memory.written_by,
    version: memory.version,
    created_at: memory.created_at,
    updated_at: memory.updated_at,
    expires_at: memory.expires_at ?? undefined,
    deleted_at: deleted_at ?? undefined,
    hlc,
    embedding_model: memory.embedding_model ?? undefined,
    embedding: embedding === null ? undefined : embeddingText(embedding, embeddings),
  };
  return JSON.stringify(fields);
}

function embeddingText(embedding: ArrayLike<number>, as: EmbeddingText): string | number[] {
  return as === "base64" ? encodeFloats(embedding) : Array.from(embedding, Math.fround);
}

/**
 * Throws FederationError: "invalid_argument" or "too_large" for a line that is damaged, "unsupported" for the header of a later version. Only `id`,
 * `agent_id`, `content` and `created_at` must be there. A content that does not have its hash is damaged.
 */
export async function parseExportLine(text: string): Promise<ExportLine> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FederationError("invalid_argument", `expected JSON: ${toError(error).message}`);
  }
  if (!isRecord(value)) throw wrong("a JSON object", value);
  if (value["format"] === undefined) return { kind: "memory", memory: await parseMemory(value) };
  if (value["format"] !== format) throw wrong(`format ${format}`, value["format"]);
  if (value["end"] === true) return { kind: "end" };
  if (value["version"] === version) return { kind: "header" };
  throw new FederationError("unsupported", `expected version ${version}, got ${describe(value["version"])}`);
}

async function parseMemory(value: Readonly<Record<string, unknown>>): Promise<TransferMemory> {
  const deletedAt = optional(value, "deleted_at", time);
  const content = deletedAt === null ? text(value["content"], "content", maxContentBytes, 0) : "";
  const createdAt = time(value["created_at"], "created_at");
  const agent = requireId(value["agent_id"], "agent_id");
  const { metadata = {}, source, scope = "tenant" } = value;
  if (!isRecord(metadata)) throw wrong("an object in metadata", metadata);
  if (scope !== "agent" && scope !== "session" && scope !== "tenant")
    throw wrong("agent, session or tenant in scope", scope);
  return {
    id: text(value["id"], "id"),
    agent_id: agent,
    session_id: optional(value, "session_id", text),
    content,
    embedding: optional(value, "embedding", vector),
    embedding_model: optional(value, "embedding_model", text),
    metadata: checkMetadata(metadata, "metadata"),
    source: source == null ? null : checkJson(source, "source"),
    scope,
    written_by: optional(value, "written_by", text) ?? agent,
    content_hash: await checkedHash(content, value["content_hash"], deletedAt !== null),
    supersedes: optional(value, "supersedes", text),
    superseded_by: optional(value, "superseded_by", text),
    version: optional(value, "version", count) ?? 1,
    created_at: createdAt,
    updated_at: optional(value, "updated_at", time) ?? createdAt,
    expires_at: optional(value, "expires_at", time),
    deleted_at: deletedAt,
    hlc: optional(value, "hlc", clock) ?? undefined,
  };
}

function optional<T>(
  value: Readonly<Record<string, unknown>>,
  name: string,
  parse: (value: unknown, name: string) => T,
): T | null {
  const found = value[name];
  return found === undefined || found === null ? null : parse(found, name);
}

function text(value: unknown, name: string, maxBytes: number = maxIdBytes, minLength = 1): string {
  return checkText(value, name, maxBytes, minLength);
}

function time(value: unknown, name: string): string {
  const isTime =
    typeof value === "string" && /^\d{4}-\d\d-\d\d[T ]/.test(value) && !Number.isNaN(Date.parse(value));
  if (!isTime) throw wrong(`a time in ${name}`, value);
  return value;
}

function count(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(`a whole number in ${name}`, value);
}

function clock(value: unknown): Hlc {
  if (!isRecord(value)) throw wrong("an object in hlc", value);
  return {
    ms: count(value["ms"], "hlc.ms"),
    counter: count(value["counter"], "hlc.counter"),
    writer: text(value["writer"], "hlc.writer"),
  };
}

function vector(value: unknown): Float32Array {
  let numbers: unknown = value;
  if (typeof value === "string") {
    try {
      numbers = decodeFloats(value);
    } catch (error) {
      throw new FederationError("invalid_argument", `embedding: ${toError(error).message}`);
    }
  }
  // What is no list is refused by the check.
  return Float32Array.from(checkEmbedding(numbers as ArrayLike<number>, "embedding"));
}

async function checkedHash(content: string, given: unknown, isDeleted: boolean): Promise<string> {
  if (isDeleted && typeof given === "string") return given; // of what it was
  const hash = await hashOfText(content);
  if (given !== undefined && given !== hash)
    throw new FederationError(
      "invalid_argument",
      "expected a content with the hash in content_hash, got another",
    );
  return hash;
}

function wrong(expected: string, found: unknown): FederationError {
  return new FederationError("invalid_argument", `expected ${expected}, got ${describe(found)}`);
}
