import { FederationError } from "../runtime/errors.ts";
import { isRecord, numberField, stringField } from "../runtime/json.ts";

/** Who may read a memory: its agent alone, or everybody in the tenant. A `session` memory is readable like a `tenant` one and says where it belongs. */
export type MemoryScope = "agent" | "session" | "tenant";

/** What `storeMemory` takes. */
export interface AgentMemory {
  /** Any text up to 255 bytes, unique in its tenant. Storing the same id again replaces the memory. */
  readonly id: string;
  readonly tenant_id: string;
  readonly agent_id: string;
  /** The session or conversation it comes from; it need not be registered. */
  readonly session_id?: string | null | undefined;
  /** At most 1 MiB as UTF-8. */
  readonly content: string;
  /** 1 to 4096 finite numbers, not all zero. Memories of different dimensions live side by side; a search compares its own only. */
  readonly embedding?: ArrayLike<number> | null | undefined;
  /** Anything that JSON can carry. */
  readonly metadata?: Readonly<Record<string, unknown>> | null | undefined;
  /** ISO 8601. Default: now, by the database's clock. */
  readonly created_at?: string | undefined;
  /** ISO 8601. From then on it is never returned. Default: never. */
  readonly expires_at?: string | null | undefined;
  /** Default: tenant. */
  readonly scope?: MemoryScope | undefined;
  /** What it was made from, for whoever wants to check it. */
  readonly source?: unknown;
  /** Which model made the embedding. Vectors of two models are never compared; none is a model of its own. */
  readonly embedding_model?: string | null | undefined;
  /** The id of an older memory of the same agent, which this one replaces: searches skip it from then on, and it stays readable. */
  readonly supersedes?: string | null | undefined;
}

/** A memory as the database returns it. */
export interface StoredMemory {
  readonly id: string;
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly session_id: string | null;
  readonly content: string;
  readonly embedding: readonly number[] | null;
  readonly embedding_model: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly source: unknown;
  readonly scope: MemoryScope;
  /** Who stored it, by the token; usually the same as `agent_id`. */
  readonly written_by: string;
  /** SHA-256 of the content in hex. */
  readonly content_hash: string;
  readonly supersedes: string | null;
  /** The id of the memory that replaced it. */
  readonly superseded_by: string | null;
  /** Starts at 1, one more with every change. */
  readonly version: number;
  readonly created_at: string;
  readonly updated_at: string;
  readonly expires_at: string | null;
}

/** A memory found by meaning. */
export interface MemoryMatch extends StoredMemory {
  /** 1 − cosine distance: 1 is the same direction, 0 unrelated, −1 opposite. */
  readonly similarity: number;
}

/** A memory found by `search`. */
export interface FoundMemory extends StoredMemory {
  /** 1 − cosine distance; null where it was not compared: a search by words, or a memory found by its words alone. */
  readonly similarity: number | null;
  /** What the order is by: the similarity, how well the words match, or the sum of 1 / (60 + rank) over both lists. Compare it within one answer only. */
  readonly score: number;
}

/** Reads a row of the database's functions. Throws FederationError "protocol" on what is not a memory. */
export function parseMemory(row: unknown): StoredMemory {
  if (!isRecord(row)) throw notAMemory(row, "an object");
  const { embedding, metadata, scope } = row;
  return {
    id: text(row, "id"),
    tenant_id: text(row, "tenant_id"),
    agent_id: text(row, "agent_id"),
    session_id: stringField(row, "session_id") ?? null,
    content: text(row, "content"),
    embedding: vectorOf(embedding),
    embedding_model: stringField(row, "embedding_model") ?? null,
    metadata: isRecord(metadata) ? metadata : {},
    source: row["source"] ?? null,
    scope: scope === "agent" || scope === "session" ? scope : "tenant",
    written_by: stringField(row, "written_by") ?? text(row, "agent_id"),
    content_hash: stringField(row, "content_hash") ?? "",
    supersedes: stringField(row, "supersedes") ?? null,
    superseded_by: stringField(row, "superseded_by") ?? null,
    version: numberField(row, "version") ?? 1,
    created_at: text(row, "created_at"),
    updated_at: stringField(row, "updated_at") ?? text(row, "created_at"),
    expires_at: stringField(row, "expires_at") ?? null,
  };
}

export function parseFound(row: unknown): FoundMemory {
  const memory = parseMemory(row);
  const score = isRecord(row) ? numberField(row, "score") : undefined;
  if (score === undefined) throw notAMemory(row, "a number in score");
  return {
    ...memory,
    similarity: (isRecord(row) ? numberField(row, "similarity") : undefined) ?? null,
    score,
  };
}

function text(row: Readonly<Record<string, unknown>>, name: string): string {
  const value = stringField(row, name);
  if (value === undefined) throw notAMemory(row, `text in ${name}`);
  return value;
}

/** The functions return a JSON array, the table a vector's text, which reads the same. */
function vectorOf(value: unknown): readonly number[] | null {
  if (typeof value === "string" && value.startsWith("[")) return vectorOf(JSON.parse(value));
  return Array.isArray(value) && value.every((each) => typeof each === "number") ? value : null;
}

/** Says which keys came, never what they held. */
function notAMemory(row: unknown, expected: string): FederationError {
  const found = isRecord(row) ? `keys ${Object.keys(row).join(", ")}` : `${typeof row}`;
  return new FederationError("protocol", `a memory from the database: expected ${expected}, found ${found}`);
}
