import type { MemoryScope } from "./memory.ts";

/** A hybrid logical clock's reading: who wrote when, in an order that all replicas and the database agree on. */
export interface Hlc {
  /** Milliseconds since 1970; the clock never goes back. */
  readonly ms: number;
  /** Orders what one writer does within one millisecond, and what answers it. */
  readonly counter: number;
  /** Breaks ties: an instance of an agent, different for each process. */
  readonly writer: string;
}

/** A memory as replicas hold it. A tombstone has `deleted_at`, and neither content, embedding, metadata nor source. */
export interface MemoryRow {
  readonly id: string;
  readonly agent_id: string;
  readonly session_id: string | null;
  /** Of scope `session`: whose session it is, where it is another agent's. The database decides, or who writes where there is none. */
  readonly session_agent: string | null;
  readonly content: string;
  readonly embedding: Float32Array | null;
  /** Vectors of two models are never compared; null is a model of its own. */
  readonly embedding_model: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly source: unknown;
  readonly scope: MemoryScope;
  readonly written_by: string;
  /** SHA-256 of the content in hex. */
  readonly content_hash: string;
  readonly supersedes: string | null;
  readonly superseded_by: string | null;
  /** Starts at 1, one more with every change, as its replica counts; the database's count wins. */
  readonly version: number;
  /** Times are ISO 8601 with a zone, as the database or `toISOString` prints them. */
  readonly created_at: string;
  readonly updated_at: string;
  readonly expires_at: string | null;
  readonly deleted_at: string | null;
  readonly hlc: Hlc;
}

/** What a search or a list is narrowed to; all that are given must hold. */
export interface MemoryFilter {
  readonly agent?: string | undefined;
  readonly session?: string | undefined;
  /** ISO 8601; `created_at` at or after. */
  readonly since?: string | undefined;
  /** ISO 8601; `created_at` before. */
  readonly until?: string | undefined;
  /** Contained in the memory's metadata, as Postgres' jsonb `@>` understands it: `{ topic: "db" }`, `{ tags: ["x"] }`. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}
