import { isRecord } from "../runtime/json.ts";
import type { Acting } from "./acting.ts";
import { parseMatch, parseMemory, type MemoryMatch, type StoredMemory } from "./memory.ts";
import { pageSize, readPages } from "./paging.ts";
import { restError } from "./rest-failure.ts";

/** A memory with its place in the order of changes. */
export interface PlacedMemory {
  readonly memory: StoredMemory;
  /** Grows with every change in the database; changes that were under way together may appear out of order. */
  readonly seq: string;
}

const columns =
  "id,tenant_id,agent_id,session_id,content,embedding,embedding_model,metadata,source,scope,written_by,version,created_at,updated_at," +
  "expires_at,seq";

/** What a caller may read, newest first, of one agent if one is named. Read from the table, since a function's rows end at 10,000. */
export async function newestMemories(
  acting: Acting,
  agent: string | undefined,
  limit: number,
): Promise<StoredMemory[]> {
  const rows = await readPages(
    limit,
    ({ memory }: PlacedMemory) => memory.id,
    (had, count) => {
      const last = had.at(-1);
      return readTable(acting, "queryMemories", (query) => {
        const ordered = query
          .order("created_at", { ascending: false })
          .order("seq", { ascending: false })
          .limit(count);
        const ofAgent = agent === undefined ? ordered : ordered.eq("agent_id", agent);
        if (last === undefined) return ofAgent;
        const { created_at: at } = last.memory;
        return ofAgent.or(`created_at.lt."${at}",and(created_at.eq."${at}",seq.lt.${last.seq})`);
      });
    },
  );
  return rows.map((row) => row.memory);
}

/** The next page of what changed after `seq`, in the order of change; empty at the end. */
export async function memoriesChangedSince(
  acting: Acting,
  seq: string,
  signal: AbortSignal,
): Promise<PlacedMemory[]> {
  return await readTable(
    acting,
    "subscribeToMemories",
    (query) => query.gt("seq", seq).order("seq", { ascending: true }).limit(pageSize),
    signal,
  );
}

/** The newest place in the order of changes, "0" where nothing was ever stored. Tombstones count. */
export async function newestPlace(acting: Acting, signal: AbortSignal): Promise<string> {
  const { connection, tenantId } = acting;
  return await connection.request(
    "subscribeToMemories",
    async (inner) => {
      const { data, error, status } = await connection.client
        .from("agent_memories")
        .select("seq")
        .eq("tenant_id", tenantId)
        .order("seq", { ascending: false })
        .limit(1)
        .abortSignal(inner);
      if (error !== null) throw restError("subscribeToMemories", status, error);
      const [row]: readonly unknown[] = data;
      return isRecord(row) ? String(row["seq"]) : "0";
    },
    { signal },
  );
}

/** Nearest first, of the embedding's own dimension. */
export async function nearestMemories(
  acting: Acting,
  embedding: readonly number[],
  limit: number,
): Promise<MemoryMatch[]> {
  const args = { embedding: JSON.stringify(embedding), max_rows: limit };
  return await callPaged(acting, "search_memories", args, {
    limit,
    keyOf: (match) => match.id,
    parse: parseMatch,
  });
}

export interface PagedCall<Row> {
  readonly limit: number;
  readonly keyOf: (row: Row) => string;
  readonly parse: (row: unknown) => Row;
}

/** Calls a function that returns rows in a stable order, page by page. */
export async function callPaged<Row>(
  { connection, as }: Acting,
  name: string,
  args: Readonly<Record<string, unknown>>,
  { limit, keyOf, parse }: PagedCall<Row>,
): Promise<Row[]> {
  return await readPages(limit, keyOf, async (had, count) =>
    connection.request(name, async (signal) => {
      const { data, error, status } = await connection.client
        .rpc(name, { ...args, ...as })
        .range(had.length, had.length + count - 1)
        .abortSignal(signal);
      if (error !== null) throw restError(name, status, error);
      const rows: unknown = data;
      return Array.isArray(rows) ? rows.map(parse) : [];
    }),
  );
}

type Query = ReturnType<typeof tableOf>;

const tableOf = ({ connection, tenantId }: Acting) =>
  connection.client
    .from("agent_memories")
    .select(columns)
    // Row level security would do; the service role is not under it.
    .eq("tenant_id", tenantId)
    .is("deleted_at", null)
    .is("superseded_by", null)
    .or("expires_at.is.null,expires_at.gt.now");

async function readTable(
  acting: Acting,
  attempt: string,
  narrow: (query: Query) => Query,
  signal?: AbortSignal,
): Promise<PlacedMemory[]> {
  return await acting.connection.request(
    attempt,
    async (inner) => {
      const { data, error, status } = await narrow(tableOf(acting)).abortSignal(inner);
      if (error !== null) throw restError(attempt, status, error);
      const rows: readonly unknown[] = data;
      return rows.map((row) => ({ memory: parseMemory(row), seq: String(isRecord(row) ? row["seq"] : "") }));
    },
    { signal },
  );
}
