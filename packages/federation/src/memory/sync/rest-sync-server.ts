import type { PostgrestError } from "@supabase/supabase-js";
import { FederationError, isFederationError } from "../../runtime/errors.ts";
import { isRecord, numberField, stringField } from "../../runtime/json.ts";
import type { Acting, ActingFor } from "../acting.ts";
import type { MemoryRow } from "../memory-row.ts";
import { restError } from "../rest-failure.ts";
import type { PullAnswer, PushAnswer, ServerRow, SyncServer } from "./sync-server.ts";
import { encodeRow, parseRow } from "./wire-row.ts";

export interface RestSyncServerParts {
  readonly acting: Pick<ActingFor, "run">;
  readonly tenantId: string;
  /** Whose view is pulled where the credential leaves it open (JWT secret). */
  readonly agentId: string;
  /** How long the server asked not to be called (RetryAfterFetch). */
  readonly retryAfterMs?: (() => number | undefined) | undefined;
}

const columns =
  "id,agent_id,session_id,content,embedding,embedding_model,metadata,source,scope,written_by,content_hash,supersedes,superseded_by," +
  "version,created_at,updated_at,expires_at,deleted_at,hlc_ms,hlc_counter,hlc_writer,seq";

// Ids are in the URL, and servers end URLs at 8 kB or more.
const maxIdsLength = 4_000;

/** The database as the sync sees it, through push_memories, pull_memories and the table (docs/schema.md). */
export class RestSyncServer implements SyncServer {
  readonly #parts: RestSyncServerParts;

  constructor(parts: RestSyncServerParts) {
    this.#parts = parts;
  }

  /** One call for each agent whose rows these are: each is written as that agent. */
  async push(rows: readonly MemoryRow[], signal: AbortSignal): Promise<readonly PushAnswer[]> {
    const answers: PushAnswer[] = [];
    for (const [agent, places] of placesByAgent(rows)) {
      const own = places.map((place) => rows[place]!); // places of rows
      const answered = await this.#pushOf(agent, own, signal);
      places.forEach((place, index) => (answers[place] = answered[index]!)); // as many, looked at in pushOf
    }
    return answers;
  }

  async pull(
    cursor: string | undefined,
    { maxRows, maxBytes }: { maxRows: number; maxBytes: number },
    signal: AbortSignal,
  ): Promise<PullAnswer> {
    const args = { cursor: cursor ?? null, max_rows: maxRows, max_bytes: maxBytes };
    const data = await this.#call(undefined, "pull_memories", args, signal);
    if (!isRecord(data)) throw notAnAnswer("pull_memories", "an object");
    const { rows, done, reset } = data;
    const next = stringField(data, "cursor");
    const serverTimeMs = timeOf(data["server_time"]);
    if (!Array.isArray(rows) || serverTimeMs === undefined || (next === undefined && reset !== true))
      throw notAnAnswer("pull_memories", "rows, cursor and server_time");
    return {
      rows: rows.map(parseRow),
      cursor: next ?? "",
      done: done === true,
      isReset: reset === true,
      serverTimeMs,
    };
  }

  async read(ids: readonly string[], signal: AbortSignal): Promise<readonly ServerRow[]> {
    const rows: ServerRow[] = [];
    for (const list of idLists(ids)) {
      const data = await this.#request(undefined, "read memories", signal, (acting, inner) => {
        const { connection, tenantId, agentId } = acting;
        const query = connection.client
          .from("agent_memories")
          .select(columns)
          .eq("tenant_id", tenantId)
          .filter("id", "in", list);
        // Row level security would do; the service role is not under it.
        const readable =
          agentId === undefined ? query : query.or(`scope.neq.agent,agent_id.eq.${quoted(agentId)}`);
        return readable.abortSignal(inner);
      });
      if (!Array.isArray(data)) throw notAnAnswer("read memories", "rows");
      rows.push(...data.map(parseRow));
    }
    return rows;
  }

  async #pushOf(
    agent: string,
    rows: readonly MemoryRow[],
    signal: AbortSignal,
  ): Promise<readonly PushAnswer[]> {
    try {
      const data = await this.#call(agent, "push_memories", { memories: rows.map(encodeRow) }, signal);
      if (!Array.isArray(data) || data.length !== rows.length)
        throw notAnAnswer("push_memories", `${rows.length} answers`);
      return data.map(parseAnswer);
    } catch (error) {
      // The credential is somebody else's: no repetition changes that, and others' rows wait behind these.
      if (!isFederationError(error, "forbidden")) throw error;
      const { message: reason, code } = error;
      return rows.map(() => ({ outcome: "refused", reason, code }));
    }
  }

  #call(
    agentId: string | undefined,
    name: string,
    args: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<unknown> {
    return this.#request(agentId, name, signal, ({ connection, as }, inner) =>
      connection.client.rpc(name, { ...args, ...as }).abortSignal(inner),
    );
  }

  /** One try: when to try again is the engine's business. */
  async #request(
    agentId: string | undefined,
    attempt: string,
    signal: AbortSignal,
    ask: (acting: Acting, inner: AbortSignal) => PromiseLike<Answer>,
  ): Promise<unknown> {
    const { acting, tenantId, agentId: ratherAs } = this.#parts;
    const task = (as: Acting): Promise<unknown> =>
      as.connection.request(
        attempt,
        async (inner) => {
          const { data, error, status } = await ask(as, inner);
          if (error !== null) throw this.#failure(restError(attempt, status, error));
          return data;
        },
        { signal, retry: false },
      );
    return await acting.run({ tenantId, agentId, ratherAs }, task);
  }

  #failure(error: FederationError): FederationError {
    const retryAfterMs = error.code === "busy" ? this.#parts.retryAfterMs?.() : undefined;
    if (retryAfterMs === undefined) return error;
    return new FederationError("busy", error.message, { cause: { retryAfterMs, error } });
  }
}

interface Answer {
  readonly data: unknown;
  readonly error: PostgrestError | null;
  readonly status: number;
}

function placesByAgent(rows: readonly MemoryRow[]): Map<string, number[]> {
  const places = new Map<string, number[]>();
  rows.forEach(({ agent_id: agent }, place) => {
    const found = places.get(agent);
    if (found === undefined) places.set(agent, [place]);
    else found.push(place);
  });
  return places;
}

function parseAnswer(value: unknown): PushAnswer {
  if (!isRecord(value)) throw notAnAnswer("push_memories", "objects");
  const { outcome, memory, clock_moved } = value;
  switch (outcome) {
    case "applied":
      return { outcome, row: parseRow(memory).row, clockMoved: clock_moved === true };
    case "older":
      return { outcome, row: parseRow(memory).row };
    case "refused": {
      const reason = stringField(value, "reason") ?? "no reason given";
      return { outcome, reason, code: stringField(value, "code") ?? "unknown" };
    }
    default:
      throw notAnAnswer("push_memories", "an outcome");
  }
}

function timeOf(value: unknown): number | undefined {
  const ms = typeof value === "string" ? Date.parse(value) : numberField({ value }, "value");
  return ms === undefined || Number.isNaN(ms) ? undefined : ms;
}

/** `in` lists as PostgREST reads them, none too long for a URL. */
function idLists(ids: readonly string[]): string[] {
  const lists: string[][] = [];
  let length = Infinity;
  for (const id of ids) {
    const text = quoted(id);
    const encoded = encodeURIComponent(text).length + 3;
    if (length + encoded > maxIdsLength) {
      lists.push([]);
      length = 0;
    }
    lists.at(-1)?.push(text);
    length += encoded;
  }
  return lists.map((list) => `(${list.join(",")})`);
}

function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function notAnAnswer(attempt: string, expected: string): FederationError {
  return new FederationError("protocol", `${attempt}: expected ${expected} in the answer`);
}
