import type { AgentSession } from "./agent-session.ts";

/** Whose session it is. */
export interface SessionOwner {
  readonly tenantId: string;
  readonly agentId: string;
}

/** Sessions of agents: in the database, or, without one, in this process. */
export interface Sessions {
  /** Opens a session, or one's own again, and keeps it alive. */
  register(sessionId: string, owner: SessionOwner, metadata: unknown): Promise<AgentSession>;
  /** `offline`, `completed`, `failed` and `ended` end it. */
  setStatus(sessionId: string, status: string): Promise<AgentSession>;
  /** Those not ended and seen within their timeout, newest first. */
  active(tenantId: string): Promise<AgentSession[]>;
}

/** With these a session is over; every other word is a status of one that goes on. */
export const finalStatuses: ReadonlySet<string> = new Set(["offline", "completed", "failed", "ended"]);
