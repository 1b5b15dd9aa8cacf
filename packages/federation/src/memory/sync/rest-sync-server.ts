import { FederationError, isFederationError } from "../../runtime/errors.ts";
import { isRecord, numberField, stringField } from "../../runtime/json.ts";
import type { Acting, ActingFor } from "../acting.ts";
import type { MemoryRow } from "../memory-row.ts";
import { restError } from "../rest-failure.ts";
import type { PullAnswer, PullOptions, PushAnswer, ServerRow, SyncServer } from "./sync-server.ts";
import { encodeRow, parseRow } from "./wire-row.ts";

export interface RestSyncServerParts {
  readonly acting: Pick<ActingFor, "run">;
  readonly tenantId: string;
  /** Whose view is pulled where the credential leaves it open (JWT secret). */
  readonly agentId: string;
  /** How long the server asked not to be called (RetryAfterFetch). */
  readonly retryAfterMs?: (() => number | undefined) | undefined;
}

/** The database as the sync sees it, through push_memories, pull_memories, pull_changes and read_memories (docs/schema.md, "Replicas"). */
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
    { maxRows, maxBytes, writer }: PullOptions,
    signal: AbortSignal,
  ): Promise<PullAnswer> {
    const args = { cursor: cursor ?? null, max_rows: maxRows, max_bytes: maxBytes };
    const data =
      writer === undefined
        ? await this.#call(undefined, "pull_memories", args, signal)
        : await this.#call(undefined, "pull_changes", { ...args, writer }, signal);
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
      isHeldBack: data["held_back"] === true,
      isReset: reset === true,
      serverTimeMs,
    };
  }

  async read(ids: readonly string[], signal: AbortSignal): Promise<readonly ServerRow[]> {
    const data = await this.#call(undefined, "read_memories", { ids }, signal);
    if (!Array.isArray(data)) throw notAnAnswer("read_memories", "rows");
    return data.map(parseRow);
  }

  async #pushOf(
    agent: string,
    rows: readonly MemoryRow[],
    signal: AbortSignal,
  ): Promise<readonly PushAnswer[]> {
    try {
      const args = { memories: rows.map(encodeRow), brief: true };
      const data = await this.#call(agent, "push_memories", args, signal);
      // Written they are, but a project that gives fewer rows an answer than the usual 1,000 does not say how.
      if (Array.isArray(data) && data.length > 0 && data.length < rows.length)
        throw new FederationError(
          "too_large",
          `push_memories: ${data.length} of ${rows.length} answers came`,
        );
      if (!Array.isArray(data) || data.length !== rows.length)
        throw notAnAnswer("push_memories", `${rows.length} answers`);
      return rows.map((row, place) => parseAnswer(data[place], row));
    } catch (error) {
      if (!isFederationError(error, "forbidden") || !isAboutRows(error.cause)) throw error;
      const { message: reason, code } = error;
      return rows.map(() => ({ outcome: "refused", reason, code }));
    }
  }

  /** One try: when to try again is the engine's business. */
  async #call(
    agentId: string | undefined,
    name: string,
    args: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { acting, tenantId, agentId: ratherAs } = this.#parts;
    const task = ({ connection, as }: Acting): Promise<unknown> =>
      connection.request(
        name,
        async (inner) => {
          const { data, error, status } = await connection.client
            .rpc(name, { ...args, ...as })
            .abortSignal(inner);
          if (error !== null) throw this.#failure(restError(name, status, error));
          return data as unknown;
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

function placesByAgent(rows: readonly MemoryRow[]): Map<string, number[]> {
  const places = new Map<string, number[]>();
  rows.forEach(({ agent_id: agent }, place) => {
    const found = places.get(agent);
    if (found === undefined) places.set(agent, [place]);
    else found.push(place);
  });
  return places;
}

function parseAnswer(value: unknown, pushed: MemoryRow): PushAnswer {
  if (!isRecord(value)) throw notAnAnswer("push_memories", "objects");
  const { outcome, memory, clock_moved } = value;
  switch (outcome) {
    case "applied":
      return { outcome, row: asPushed(parseRow(memory).row, pushed), clockMoved: clock_moved === true };
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

/** A brief answer leaves out what is as it was pushed. */
function asPushed(row: MemoryRow, { content, embedding, metadata, source }: MemoryRow): MemoryRow {
  return row.deleted_at === null ? { ...row, content, embedding, metadata, source } : row;
}

function notAnAnswer(attempt: string, expected: string): FederationError {
  return new FederationError("protocol", `${attempt}: expected ${expected} in the answer`);
}

/**
 * Whether it was our own credential check that refused, or the database's functions: the credential is somebody else's, no repetition
 * changes that, and others' rows wait behind these. A 403 of something on the way, or a grant that is missing, says nothing of the rows.
 */
function isAboutRows(cause: unknown): boolean {
  if (!isRecord(cause) || !("status" in cause)) return true;
  return cause["code"] === "42501" && !String(cause["message"]).startsWith("permission denied");
}
