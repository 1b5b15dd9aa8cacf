import { FederationError } from "../runtime/errors.ts";
import { isRecord } from "../runtime/json.ts";
import type { AgentSession } from "./agent-session.ts";
import { finalStatuses, type SessionOwner, type Sessions } from "./sessions.ts";

/** Sessions without a server: those of this process, which are alive as long as it is. */
export class LocalSessions implements Sessions {
  readonly #clock: { now(): number };
  /** By tenant and id, oldest first. */
  readonly #sessions = new Map<string, AgentSession>();

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  async register(id: string, { tenantId, agentId }: SessionOwner, metadata: unknown): Promise<AgentSession> {
    const key = `${tenantId}/${id}`;
    const held = this.#sessions.get(key);
    if (held !== undefined && held.agent_id !== agentId)
      throw new FederationError("forbidden", `registerSession ${JSON.stringify(id)}: it is another agent's`);
    const at = this.#now();
    const isOpen = held !== undefined && held.ended_at === null;
    const session: AgentSession = {
      session_id: id,
      tenant_id: tenantId,
      agent_id: agentId,
      status: "online",
      task: null,
      metadata: isRecord(metadata) ? metadata : (held?.metadata ?? {}),
      started_at: isOpen ? held.started_at : at,
      last_seen_at: at,
      ended_at: null,
      end_reason: null,
    };
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    return session;
  }

  async setStatus(id: string, status: string): Promise<AgentSession> {
    const found = [...this.#sessions].filter(([, each]) => each.session_id === id);
    const [only, another] = found;
    if (only === undefined)
      throw new FederationError(
        "not_found",
        `updateSessionStatus ${JSON.stringify(id)}: there is no such session`,
      );
    if (another !== undefined)
      throw new FederationError(
        "conflict",
        `updateSessionStatus ${JSON.stringify(id)}: several tenants have such a session`,
      );
    const [key, session] = only;
    const at = this.#now();
    const isFinal = finalStatuses.has(status);
    if (session.ended_at !== null && !isFinal)
      throw new FederationError("not_found", `updateSessionStatus ${JSON.stringify(id)}: it has ended`);
    const changed: AgentSession = isFinal
      ? {
          ...session,
          status: "offline",
          ended_at: session.ended_at ?? at,
          end_reason: session.end_reason ?? status,
          last_seen_at: at,
        }
      : { ...session, status, last_seen_at: at };
    this.#sessions.set(key, changed);
    return changed;
  }

  /** Whose session it is or was, undefined where nobody registered one. */
  agentOf(tenantId: string, sessionId: string): string | undefined {
    return this.#sessions.get(`${tenantId}/${sessionId}`)?.agent_id;
  }

  async active(tenantId: string): Promise<AgentSession[]> {
    const at = this.#now(); // alive, since this process is
    return [...this.#sessions.values()]
      .filter((each) => each.tenant_id === tenantId && each.ended_at === null)
      .map((each) => ({ ...each, last_seen_at: at }))
      .toReversed();
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}
