import type { MemoryFilter, MemoryRow } from "../memory-row.ts";

/** Which of the tenant's memories a replica takes in; all that are given must hold. What it wrote itself stays, whatever it is. */
export interface SyncFilter {
  readonly agents?: readonly string[] | undefined;
  readonly sessions?: readonly string[] | undefined;
  /** ISO 8601; `created_at` at or after. */
  readonly since?: string | undefined;
}

/** Whether a replica holds all that its tenant has, as far as it has heard, or why not. */
export type Coverage = "all" | "loading" | "filtered" | "limited";

export function admits(filter: SyncFilter, row: MemoryRow): boolean {
  const { agents, sessions, since } = filter;
  if (agents !== undefined && !agents.includes(row.agent_id)) return false;
  if (sessions !== undefined && (row.session_id === null || !sessions.includes(row.session_id))) return false;
  return since === undefined || Date.parse(row.created_at) >= Date.parse(since);
}

/** The same text for filters that admit the same. */
export function filterKeyOf(filter: SyncFilter, maxLocalMemories: number): string {
  const list = (ids: readonly string[] | undefined): readonly string[] | null =>
    ids === undefined ? null : [...new Set(ids)].toSorted();
  const since = filter.since === undefined ? null : Date.parse(filter.since);
  return JSON.stringify([list(filter.agents), list(filter.sessions), since, maxLocalMemories]);
}

export interface CoverageFacts {
  readonly isLoaded: boolean;
  readonly filter: SyncFilter;
  /** Memories created before this many milliseconds were not all kept. */
  readonly floorMs: number | undefined;
}

/** Whether what `asked` admits is all here, so that a search narrowed to it needs no server. */
export function coverageOf({ isLoaded, filter, floorMs }: CoverageFacts, asked: MemoryFilter = {}): Coverage {
  if (!isLoaded) return "loading";
  const sinceMs = asked.since === undefined ? -Infinity : Date.parse(asked.since);
  const { agents, sessions, since } = filter;
  const holdsAgents = agents === undefined || (asked.agent !== undefined && agents.includes(asked.agent));
  const holdsSessions =
    sessions === undefined || (asked.session !== undefined && sessions.includes(asked.session));
  const holdsSince = since === undefined || sinceMs >= Date.parse(since);
  if (!holdsAgents || !holdsSessions || !holdsSince) return "filtered";
  return floorMs === undefined || sinceMs >= floorMs ? "all" : "limited";
}
