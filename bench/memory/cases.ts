export const engineNames = [
  "federation",
  "usearch",
  "zvec",
  "sqlite-vec",
  "lancedb",
  "pgvector",
  "agentdb",
] as const;
export type EngineName = (typeof engineNames)[number];

/** What an engine needs that the workspace does not install, pinned; nothing of it runs at install time. */
export const packagesOf: Readonly<Record<EngineName, readonly string[]>> = {
  federation: [],
  usearch: ["usearch@2.26.2"],
  zvec: ["@zvec/zvec@0.7.0"],
  "sqlite-vec": ["sqlite-vec@0.1.9", "libsql@0.5.29"],
  lancedb: ["@lancedb/lancedb@0.37.1"],
  pgvector: [],
  agentdb: ["agentdb@1.6.1"],
};

/** Beyond this an engine takes minutes to be filled, or a second a search; said so in the table. */
export const mostRowsOf: Readonly<Partial<Record<EngineName, number>>> = {
  agentdb: 10_000,
  "sqlite-vec": 100_000,
  lancedb: 100_000,
  pgvector: 100_000,
};

export const engineTitles: Readonly<Record<EngineName, string>> = {
  federation: "Agent Federation, whole rows",
  usearch: "usearch int8, ids only",
  zvec: "zvec HNSW",
  "sqlite-vec": "sqlite-vec, exact",
  lancedb: "lancedb HNSW",
  pgvector: "pgvector HNSW, native Postgres",
  agentdb: "agentdb 1.x, default search",
};

/** One engine filled and searched, in a process of its own. */
export interface MemoryCase {
  readonly engine: EngineName;
  readonly dimensions: number;
  readonly rows: number;
}

export function nameOf({ engine, dimensions, rows }: MemoryCase): string {
  return `${engine}, ${rows.toLocaleString("en-US")} × ${dimensions}`;
}

export const hasFilter = (engine: EngineName): boolean => engine !== "usearch" && engine !== "agentdb";
