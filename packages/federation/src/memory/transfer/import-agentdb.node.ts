import { requireId } from "../../config/ids.ts";
import { FederationError, isFederationError } from "../../runtime/errors.ts";
import {
  agentDbTables,
  toMemory,
  type AgentDbRow,
  type AgentDbTable,
  type SqlRow,
} from "./agentdb-memory.ts";
import { openSqliteCopy, type SqliteCopy } from "./sqlite-copy.node.ts";
import { storeNewer, type MemorySink, type TransferMemory } from "./transfer-memory.ts";

export interface ImportAgentDbOptions {
  /** Whose memories they become: agentdb has no agents. */
  readonly agentId: string;
  /**
   * `drop` leaves the embeddings behind. agentdb falls back to made-up vectors, under the model's name and without a word, where it cannot load its
   * model. Default `keep`.
   */
  readonly embeddings?: "keep" | "drop" | undefined;
  readonly onProgress?: ((progress: ImportAgentDbProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ImportAgentDbProgress {
  readonly table: string;
  readonly stored: number;
  readonly unchanged: number;
}

export interface ImportAgentDbResult {
  readonly stored: number;
  /** There already. */
  readonly unchanged: number;
  /** By table: how many of its rows became memories. */
  readonly tables: Readonly<Record<string, number>>;
  /** Rows of which something, or everything, could not be taken over; the first hundred. */
  readonly problems: readonly AgentDbProblem[];
  readonly problemCount: number;
  /** Tables with rows that are no memories (links, statistics, logs), and how many rows they have. */
  readonly leftOut: Readonly<Record<string, number>>;
}

export interface AgentDbProblem {
  readonly table: string;
  readonly id: string;
  readonly reason: string;
  /** Whether the rest of the row became a memory. */
  readonly isImported: boolean;
}

const batchRows = 200;
const listedProblems = 100;

/**
 * Takes over what an agentdb 1.x file remembers: episodes, skills, patterns, notes, facts, summaries, events, and the vectors of its browser build. The
 * file is copied first and never written to. The same rows again change nothing, also from a copy of the file or on another machine. Rejects with
 * FederationError "not_found" or "invalid_argument" where there is no such file, and with the signal's reason.
 */
export async function importAgentDb(
  path: string,
  sink: MemorySink,
  options: ImportAgentDbOptions,
): Promise<ImportAgentDbResult> {
  const agentId = requireId(options.agentId, "importAgentDb agentId");
  options.signal?.throwIfAborted();
  const database = await openSqliteCopy(path);
  try {
    const counts = tableCounts(database);
    const tables = agentDbTables.filter(({ table }) => counts.has(table));
    if (tables.length === 0) {
      const found = [...counts.keys()].slice(0, 10).join(", ") || "none";
      throw new FederationError(
        "invalid_argument",
        `${path}: expected tables of agentdb 1.x, found ${found}`,
      );
    }
    const run = new AgentDbImport(database, sink, { ...options, agentId });
    for (const table of tables) await run.take(table, counts);
    return run.result(counts);
  } finally {
    await database.close();
  }
}

/** Rows by table. */
function tableCounts(database: SqliteCopy): Map<string, number> {
  const names = database.all(
    "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
  );
  const counts = new Map<string, number>();
  for (const { name } of names) {
    const [row] = database.all(`select count(*) as rows from ${quoted(String(name))}`);
    counts.set(String(name), Number(row?.["rows"] ?? 0));
  }
  return counts;
}

class AgentDbImport {
  readonly #database: SqliteCopy;
  readonly #sink: MemorySink;
  readonly #options: ImportAgentDbOptions;
  readonly #tables: Record<string, number> = {};
  readonly #problems: AgentDbProblem[] = [];
  #problemCount = 0;
  #stored = 0;
  #unchanged = 0;

  constructor(database: SqliteCopy, sink: MemorySink, options: ImportAgentDbOptions) {
    this.#database = database;
    this.#sink = sink;
    this.#options = options;
  }

  async take(table: AgentDbTable, counts: ReadonlyMap<string, number>): Promise<void> {
    const { signal, onProgress } = this.#options;
    const vectors =
      table.vectors !== undefined && counts.has(table.vectors.table) ? table.vectors : undefined;
    this.#tables[table.table] = 0;
    for (let after: unknown = undefined; ;) {
      signal?.throwIfAborted();
      const rows = this.#read(table.table, after);
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last["place"];
      const memories = new Map<string, TransferMemory>();
      for (const { place: _, ...row } of rows) {
        const memory = await this.#toMemory(table, this.#withVector(row, vectors));
        if (memory !== undefined) memories.set(memory.id, memory);
      }
      this.#tables[table.table] = (this.#tables[table.table] ?? 0) + memories.size;
      const stored = await storeNewer(this.#sink, [...memories.values()]);
      this.#stored += stored;
      this.#unchanged += memories.size - stored;
      onProgress?.({ table: table.table, stored: this.#stored, unchanged: this.#unchanged });
    }
  }

  result(counts: ReadonlyMap<string, number>): ImportAgentDbResult {
    const known = new Set(agentDbTables.flatMap(({ table, vectors }) => [table, vectors?.table]));
    const leftOut = [...counts].filter(([table, rows]) => rows > 0 && !known.has(table));
    return {
      stored: this.#stored,
      unchanged: this.#unchanged,
      tables: this.#tables,
      problems: this.#problems,
      problemCount: this.#problemCount,
      leftOut: Object.fromEntries(leftOut),
    };
  }

  /** The next rows in the order in which SQLite keeps them, with their place. */
  #read(table: string, after: unknown): SqlRow[] {
    const from = typeof after === "number" || typeof after === "bigint" ? `where rowid > ${after}` : "";
    return this.#database.all(
      `select rowid as place, * from ${quoted(table)} ${from} order by rowid limit ${batchRows}`,
    );
  }

  #withVector(row: SqlRow, vectors: { readonly table: string; readonly id: string } | undefined): AgentDbRow {
    if (this.#options.embeddings === "drop") return { row, embedding: null, embeddingModel: null };
    const id = row["id"];
    if (vectors === undefined || typeof id !== "number")
      return { row, embedding: row["embedding"], embeddingModel: row["embedding_model"] };
    const [found] = this.#database.all(
      `select * from ${quoted(vectors.table)} where ${quoted(vectors.id)} = ?`,
      [id],
    );
    // Early files do not name the model; it was agentdb's only one.
    const embeddingModel = found?.["embedding_model"] ?? "all-MiniLM-L6-v2";
    return { row, embedding: found?.["embedding"], embeddingModel };
  }

  async #toMemory(table: AgentDbTable, found: AgentDbRow): Promise<TransferMemory | undefined> {
    try {
      const { memory, problem } = await toMemory(table, found, this.#options.agentId);
      if (problem !== undefined) this.#note(table, found, problem, true);
      return memory;
    } catch (error) {
      if (!isFederationError(error)) throw error;
      this.#note(table, found, error.message, false);
      return undefined;
    }
  }

  #note(table: AgentDbTable, { row }: AgentDbRow, reason: string, isImported: boolean): void {
    this.#problemCount += 1;
    if (this.#problems.length >= listedProblems) return;
    this.#problems.push({ table: table.table, id: String(row["id"]), reason, isImported });
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
