import { isRecord } from "../runtime/json.ts";
import type { Acting } from "./acting.ts";
import { parseMemory, type StoredMemory } from "./memory.ts";
import type { MemoryFilter } from "./memory-row.ts";
import { pageSize, readPages } from "./paging.ts";
import { restError } from "./rest-failure.ts";

/** A memory with its place in the order of changes. */
export interface PlacedMemory {
  readonly memory: StoredMemory;
  /** Grows with every change in the database; changes that were under way together may appear out of order. */
  readonly seq: string;
}

const columns =
  "id,tenant_id,agent_id,session_id,content,embedding,embedding_model,metadata,source,scope,written_by,content_hash,supersedes," +
  "superseded_by,version,created_at,updated_at,expires_at,seq";

/** What a caller may read of what the filter admits, newest first. Read from the table, since a function's rows end at 10,000. */
export async function newestMemories(
  acting: Acting,
  filter: MemoryFilter,
  { limit, signal }: { readonly limit: number; readonly signal?: AbortSignal | undefined },
): Promise<StoredMemory[]> {
  const rows = await readPages(
    limit,
    ({ memory }: PlacedMemory) => memory.id,
    (had, count) => {
      const last = had.at(-1);
      const narrow = (query: Query): Query => {
        const ordered = narrowed(query, filter)
          .is("superseded_by", null)
          .order("created_at", { ascending: false })
          .order("seq", { ascending: false })
          .limit(count);
        if (last === undefined) return ordered;
        const { created_at: at } = last.memory;
        return ordered.or(`created_at.lt."${at}",and(created_at.eq."${at}",seq.lt.${last.seq})`);
      };
      return readTable(acting, "queryMemories", narrow, signal);
    },
  );
  return rows.map((row) => row.memory);
}

/** The next ids behind `afterId`, in the database's order, of what the caller may read; tombstones too. Empty at the end. */
export async function idsAfter(
  { connection, tenantId, agentId }: Acting,
  afterId: string | undefined,
  signal?: AbortSignal,
): Promise<string[]> {
  const attempt = "read memories";
  return await connection.request(
    attempt,
    async (inner) => {
      const all = connection.client.from("agent_memories").select("id").eq("tenant_id", tenantId);
      // Row level security would do; the service role is not under it.
      const readable =
        agentId === undefined
          ? all
          : all.or(`scope.eq.tenant,agent_id.eq."${agentId}",session_agent.eq."${agentId}"`);
      const ordered = readable.order("id", { ascending: true }).limit(pageSize);
      const { data, error, status } = await (
        afterId === undefined ? ordered : ordered.gt("id", afterId)
      ).abortSignal(inner);
      if (error !== null) throw restError(attempt, status, error);
      return data.map(({ id }) => String(id));
    },
    { signal },
  );
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
    (query) =>
      query.is("superseded_by", null).gt("seq", seq).order("seq", { ascending: true }).limit(pageSize),
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

export interface PagedCall<Row> {
  readonly limit: number;
  readonly keyOf: (row: Row) => string;
  readonly parse: (row: unknown) => Row;
  readonly signal?: AbortSignal | undefined;
}

/** Calls a function that returns rows in a stable order, page by page. */
export async function callPaged<Row>(
  { connection, as }: Acting,
  name: string,
  args: Readonly<Record<string, unknown>>,
  { limit, keyOf, parse, signal }: PagedCall<Row>,
): Promise<Row[]> {
  return await readPages(limit, keyOf, async (had, count) =>
    connection.request(
      name,
      async (inner) => {
        const { data, error, status } = await connection.client
          .rpc(name, { ...args, ...as })
          .range(had.length, had.length + count - 1)
          .abortSignal(inner);
        if (error !== null) throw restError(name, status, error);
        const rows: unknown = data;
        return Array.isArray(rows) ? rows.map(parse) : [];
      },
      { signal },
    ),
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
    .or("expires_at.is.null,expires_at.gt.now");

function narrowed(query: Query, { agent, session, since, until, metadata }: MemoryFilter): Query {
  let narrow = query;
  if (agent !== undefined) narrow = narrow.eq("agent_id", agent);
  if (session !== undefined) narrow = narrow.eq("session_id", session);
  if (since !== undefined) narrow = narrow.gte("created_at", since);
  if (until !== undefined) narrow = narrow.lt("created_at", until);
  if (metadata !== undefined) narrow = narrow.contains("metadata", metadata);
  return narrow;
}

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
