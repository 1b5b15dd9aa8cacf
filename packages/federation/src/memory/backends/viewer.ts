import type { MemoryRow } from "../memory-row.ts";

/** Who is asking: an agent, or, undefined, one who may read and change everything. */
export type Viewer = string | undefined;

/** Whether a memory's scope admits the viewer, as the database decides it. */
export function isVisible({ scope, agent_id, session_agent }: MemoryRow, viewer: Viewer): boolean {
  return viewer === undefined || scope === "tenant" || agent_id === viewer || session_agent === viewer;
}
