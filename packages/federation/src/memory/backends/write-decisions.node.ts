/** What a local write becomes, by the rules that the database has for its own. */
import { hash } from "node:crypto";
import { FederationError } from "../../runtime/errors.ts";
import { contains } from "../local/metadata-leaves.ts";
import type { Hlc, MemoryFilter, MemoryRow } from "../memory-row.ts";
import type { MemoryWrite } from "./memory-backend.ts";
import { isSameMemory, rowOf } from "./stored-row.ts";

export function rowFor(
  { memory, ttlSeconds }: MemoryWrite,
  held: MemoryRow | undefined,
  { nowMs, now, hlc, sessionAgent }: WriteFacts,
): MemoryRow {
  const expiresAt =
    ttlSeconds === undefined ? memory.expires_at : new Date(nowMs + ttlSeconds * 1000).toISOString();
  return rowOf(memory, held, {
    hlc,
    now,
    expiresAt: expiresAt ?? null,
    contentHash: hash("sha256", memory.content),
    sessionAgent: sessionAgentOf(memory, held, sessionAgent),
  });
}

/** Null where it is the writer's own. Where nobody is known to have the session, what was decided before stays. */
function sessionAgentOf(
  { scope, session_id: session, agent_id: owner }: MemoryWrite["memory"],
  held: MemoryRow | undefined,
  sessionAgent: WriteFacts["sessionAgent"],
): string | null {
  if (scope !== "session" || session === undefined) return null;
  const before = held?.session_id === session ? held.session_agent : null;
  const agent = sessionAgent(session) ?? before;
  return agent === owner ? null : agent;
}

/** Throws where the memory must not be written. */
export function decide(
  { ifVersion, memory: { id } }: MemoryWrite,
  row: MemoryRow,
  held: MemoryRow | undefined,
): Decision {
  if (held !== undefined && held.agent_id !== row.agent_id) throw anothers(id);
  requireVersion(id, ifVersion, held);
  return held !== undefined && isSameMemory(held, row) ? { row: held } : { row, held };
}

/** Deleted is as if there were none. */
export function versionOf(row: MemoryRow | undefined): number {
  return row === undefined || row.deleted_at !== null ? 0 : row.version;
}

export function isSameState(a: MemoryRow | undefined, b: MemoryRow | undefined): boolean {
  if (a === undefined || b === undefined || versionOf(a) === 0) return versionOf(a) === versionOf(b);
  return isSameMemory(b, a);
}

export function requireVersion(id: string, expected: number | undefined, held: MemoryRow | undefined): void {
  if (expected !== undefined && expected !== versionOf(held)) throw stale(id, String(expected), held);
}

export function stale(id: string, expected: string, found: MemoryRow | undefined): FederationError {
  return new FederationError(
    "conflict",
    `memory ${JSON.stringify(id)}: expected version ${expected}, found version ${versionOf(found)}`,
    { remedy: "Read it again and decide anew" },
  );
}

export interface WriteFacts {
  /** Later than that of the row it takes the place of. */
  readonly hlc: Hlc;
  /** Whose session it is, as far as this process knows. */
  readonly sessionAgent: (sessionId: string) => string | undefined;
  readonly nowMs: number;
  readonly now: string;
}

/** A row that is there or is to be; with `held`, what it takes the place of. */
export interface Decision {
  readonly row: MemoryRow;
  readonly held?: MemoryRow | undefined;
}

export function isLiving(row: MemoryRow, nowMs: number): boolean {
  return row.deleted_at === null && (row.expires_at === null || Date.parse(row.expires_at) > nowMs);
}

export function isAdmitted(
  row: MemoryRow,
  { agent, session, since, until, metadata }: MemoryFilter,
): boolean {
  const createdMs = Date.parse(row.created_at);
  return (
    row.deleted_at === null &&
    (agent === undefined || row.agent_id === agent) &&
    (session === undefined || row.session_id === session) &&
    (since === undefined || createdMs >= Date.parse(since)) &&
    (until === undefined || createdMs < Date.parse(until)) &&
    (metadata === undefined || contains(row.metadata, metadata))
  );
}

export function anothers(id: string): FederationError {
  return new FederationError("forbidden", `memory ${JSON.stringify(id)} belongs to another agent`);
}

/** A batch may bring a memory together with the one that replaces it. */
export function markWithin(decided: Map<string, Decision>): void {
  for (const { row } of Array.from(decided.values())) {
    const older = row.supersedes === null ? undefined : decided.get(row.supersedes);
    if (older === undefined || !("held" in older)) continue;
    if (older.row.id === row.id || older.row.agent_id !== row.agent_id) continue;
    decided.set(older.row.id, { ...older, row: { ...older.row, superseded_by: row.id } });
  }
}
