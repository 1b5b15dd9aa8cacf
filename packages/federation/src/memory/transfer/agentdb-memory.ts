import { isFederationError, toError } from "../../runtime/errors.ts";
import { isRecord } from "../../runtime/json.ts";
import {
  checkEmbedding,
  checkJson,
  checkMetadata,
  checkText,
  maxContentBytes,
  maxIdBytes,
} from "../check-memory.ts";
import { hashOfText } from "../embed/hash-of-text.ts";
import type { TransferMemory } from "./transfer-memory.ts";

/** A row of SQLite. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** How a table of agentdb becomes memories. Columns that a version of it did not have are read as null. */
export interface AgentDbTable {
  readonly table: string;
  /** Kept in the metadata. */
  readonly kind: string;
  /** Where its vectors are, by which column. */
  readonly vectors?: { readonly table: string; readonly id: string };
  /** For tables with vectors, the text that agentdb makes the vector of: content and embedding say the same. */
  readonly content: (row: SqlRow) => string;
  /** Columns whose text the content has whole: the source need not repeat it. */
  readonly said: readonly string[];
  /** Columns that are kept in the metadata, because memories are filtered by them. */
  readonly metadata: readonly string[];
}

/** Source: schema.sql, frontier-schema.sql and the controllers of agentdb 1.6.1. */
export const agentDbTables: readonly AgentDbTable[] = [
  {
    table: "episodes",
    kind: "episode",
    vectors: { table: "episode_embeddings", id: "episode_id" },
    content: (row) => joined(row["task"], row["critique"], row["output"]),
    said: ["task", "critique", "output"],
    metadata: ["reward", "success", "tags"],
  },
  {
    table: "skills",
    kind: "skill",
    vectors: { table: "skill_embeddings", id: "skill_id" },
    content: (row) => joined(row["name"], row["description"], row["signature"]),
    said: ["name", "description", "signature"],
    metadata: ["success_rate", "uses", "avg_reward", "tags"],
  },
  {
    table: "reasoning_patterns",
    kind: "pattern",
    vectors: { table: "pattern_embeddings", id: "pattern_id" },
    content: (row) => `${textOf(row["task_type"])}: ${textOf(row["approach"])}`,
    said: ["task_type", "approach"],
    metadata: ["success_rate", "uses", "avg_reward", "tags"],
  },
  {
    table: "notes",
    kind: "note",
    vectors: { table: "note_embeddings", id: "note_id" },
    content: (row) => joined(row["title"], row["text"]),
    said: ["title", "text"],
    metadata: ["note_type", "importance"],
  },
  {
    table: "facts",
    kind: "fact",
    content: (row) => [row["subject"], row["predicate"], row["object"]].map(textOf).join(" "),
    said: [],
    metadata: ["confidence"],
  },
  {
    table: "consolidated_memories",
    kind: "summary",
    content: (row) => textOf(row["summary"]),
    said: ["summary"],
    metadata: ["phase", "quality_score"],
  },
  {
    table: "events",
    kind: "event",
    content: (row) => textOf(row["content"]),
    said: ["content"],
    metadata: ["phase", "role"],
  },
  {
    // Of agentdb in a browser: the text is in the metadata, the vector in the row itself.
    table: "vectors",
    kind: "vector",
    content: (row) => textOf(parsed(row["metadata"])["text"]),
    said: ["metadata"],
    metadata: [],
  },
];

export interface AgentDbRow {
  readonly row: SqlRow;
  readonly embedding: unknown;
  readonly embeddingModel: unknown;
}

export interface AgentDbMemory {
  readonly memory: TransferMemory;
  /** What of the row could not be taken over. */
  readonly problem: string | undefined;
}

/**
 * A row as a memory of the agent. Its id is a hash of what it says and where it stood, so that the same row is the same memory on every machine, and no row
 * takes the place of another. Throws FederationError on a row that cannot be a memory: without content, or too large.
 */
export async function toMemory(
  table: AgentDbTable,
  found: AgentDbRow,
  agentId: string,
): Promise<AgentDbMemory> {
  const { row } = found;
  const content = checkText(table.content(row), `${table.kind} content`, maxContentBytes, 1);
  const created = timeOf(row["created_at"] ?? row["ts"]) ?? new Date(0).toISOString();
  const identity = JSON.stringify([table.kind, String(row["id"]), created, content]);
  const { embedding, problem } = vectorOf(found.embedding);
  const source = sourceOf(table, row);
  const metadata = metadataOf(table, row);
  const session = row["session_id"];
  return {
    memory: {
      id: `agentdb-${table.kind}-${(await hashOfText(identity)).slice(0, 32)}`,
      agent_id: agentId,
      session_id: isId(session) ? session : null,
      content,
      embedding,
      embedding_model: embedding !== null && isId(found.embeddingModel) ? found.embeddingModel : null,
      metadata: metadata.value,
      source: source.value,
      scope: "tenant",
      written_by: agentId,
      content_hash: await hashOfText(content),
      supersedes: null,
      superseded_by: null,
      version: 1,
      created_at: created,
      updated_at: timeOf(row["updated_at"]) ?? created,
      expires_at: timeOf(row["expires_at"]) ?? null,
    },
    problem: problem ?? metadata.problem ?? source.problem,
  };
}

/** Where it comes from: the table, and the columns that are neither in the content nor null. */
function sourceOf(table: AgentDbTable, row: SqlRow): { value: unknown; problem: string | undefined } {
  const kept = Object.entries(row)
    .filter(([name]) => !table.said.includes(name))
    .map(([name, value]): [string, unknown] => [name, plain(value)])
    .filter(([, value]) => value !== null && value !== undefined);
  const value = { agentdb: table.table, ...Object.fromEntries(kept) };
  return storableOr({ agentdb: table.table, id: plain(row["id"]) }, () =>
    checkJson(value, "the columns beside the text"),
  );
}

/** What agentdb's own metadata says stays as it is; beside it the kind and what memories are filtered by. */
function metadataOf(
  table: AgentDbTable,
  row: SqlRow,
): { value: Readonly<Record<string, unknown>>; problem: string | undefined } {
  const columns = table.metadata
    .filter((name) => row[name] !== null && row[name] !== undefined)
    .map((name): [string, unknown] => [name, metadataValue(name, row[name])]);
  const value = { kind: table.kind, ...Object.fromEntries(columns), ...parsed(row["metadata"]) };
  return storableOr({ kind: table.kind }, () => checkMetadata(value, "metadata"));
}

/** What a memory can have, else `otherwise` and why. */
function storableOr<T>(otherwise: T, check: () => T): { value: T; problem: string | undefined } {
  try {
    return { value: check(), problem: undefined };
  } catch (error) {
    if (!isFederationError(error)) throw error;
    return { value: otherwise, problem: `${error.message}: left out` };
  }
}

/** Tags are JSON in a text column (what is none is kept as it is), and SQLite's truth is a number. */
function metadataValue(name: string, value: unknown): unknown {
  if (name === "success") return Boolean(value);
  return name === "tags" && typeof value === "string" ? tagsOf(value) : plain(value);
}

function tagsOf(tags: string): unknown {
  try {
    return JSON.parse(tags) as unknown;
  } catch {
    return tags;
  }
}

function parsed(json: unknown): Record<string, unknown> {
  if (typeof json !== "string") return {};
  try {
    const value: unknown = JSON.parse(json);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/** A blob of little-endian 32-bit floats. */
function vectorOf(blob: unknown): { embedding: Float32Array | null; problem: string | undefined } {
  if (!(blob instanceof Uint8Array) || blob.length === 0) return { embedding: null, problem: undefined };
  if (blob.length % 4 !== 0)
    return {
      embedding: null,
      problem: `expected an embedding of 4 bytes a number, got ${blob.length} bytes`,
    };
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length);
  const numbers = Float32Array.from({ length: blob.length / 4 }, (_, index) =>
    view.getFloat32(4 * index, true),
  );
  try {
    checkEmbedding(numbers, "embedding");
    return { embedding: numbers, problem: undefined };
  } catch (error) {
    if (!isFederationError(error)) throw error;
    return { embedding: null, problem: toError(error).message };
  }
}

/** Seconds since 1970, as SQLite's strftime('%s') gives them, or milliseconds, or text. */
function timeOf(value: unknown): string | undefined {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "string")
    return /^\d+$/.test(number) ? timeOf(Number(number)) : timeOfMs(Date.parse(number));
  if (typeof number !== "number" || !(number >= 0)) return undefined;
  return timeOfMs(number > 1e11 ? number : number * 1000);
}

function timeOfMs(ms: number): string | undefined {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : undefined;
}

function joined(...parts: unknown[]): string {
  return parts
    .map(textOf)
    .filter((part) => part !== "")
    .join("\n");
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "bigint" ? String(value) : "";
}

function isId(value: unknown): value is string {
  return storableOr(undefined, () => checkText(value, "an id", maxIdBytes, 1)).problem === undefined;
}

/** As JSON can carry it: no blobs, and integers beyond 2^53 as text. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value instanceof Uint8Array ? undefined : value;
}
