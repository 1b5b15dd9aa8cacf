import { sleep } from "../runtime/clock.ts";
import { FederationError, isFederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import type { Scope } from "../runtime/scope.ts";
import type { Acting, ActingFor, Named } from "./acting.ts";
import type { ResolvedAdapterOptions } from "./adapter-options.ts";
import type { QuietClock } from "./quiet-clock.ts";
import { restError } from "./rest-failure.ts";
import { parseSession, type AgentSession } from "./agent-session.ts";
import { callPaged } from "./read-memories.ts";
import { finalStatuses, type SessionOwner, type Sessions } from "./sessions.ts";

export interface SessionsParts {
  readonly actors: ActingFor;
  readonly options: ResolvedAdapterOptions;
  readonly clock: QuietClock;
  readonly scope: Scope;
}

/** Sessions that this adapter registered: it keeps them alive until they end or it does. */
export class RegisteredSessions implements Sessions {
  readonly #parts: SessionsParts;
  readonly #owners = new Map<string, SessionOwner>();
  #isBeating = false;

  constructor(parts: SessionsParts) {
    this.#parts = parts;
  }

  async register(sessionId: string, owner: SessionOwner, metadata: unknown): Promise<AgentSession> {
    const { heartbeatMs } = this.#parts.options;
    const row = await this.#parts.actors.run(owner, ({ connection, as }) =>
      connection.callPlain("open_session", {
        session_id: sessionId,
        ...(metadata === undefined ? {} : { metadata }),
        timeout_seconds: Math.min(86_400, Math.max(90, Math.ceil((heartbeatMs * 3) / 1000))),
        ...as,
      }),
    );
    this.#owners.set(sessionId, owner);
    if (!this.#isBeating) {
      this.#isBeating = true;
      this.#parts.scope.run((signal) => this.#beat(signal));
    }
    return parseSession(row);
  }

  async setStatus(sessionId: string, status: string): Promise<AgentSession> {
    const named = this.#owners.get(sessionId) ?? (await this.#find(sessionId));
    const isFinal = finalStatuses.has(status);
    const row = await this.#parts.actors.run(named, ({ connection, as }) =>
      isFinal
        ? connection.callPlain("close_session", { session_id: sessionId, reason: status, ...as })
        : connection.callPlain("update_session", { session_id: sessionId, status, ...as }),
    );
    if (isFinal) this.#owners.delete(sessionId);
    return parseSession(row);
  }

  /** Whose session it is, where it was registered here and has not ended. */
  agentOf(tenantId: string, sessionId: string): string | undefined {
    const owner = this.#owners.get(sessionId);
    return owner?.tenantId === tenantId ? owner.agentId : undefined;
  }

  async active(tenantId: string): Promise<AgentSession[]> {
    return await this.#parts.actors.run({ tenantId }, (acting) =>
      callPaged(
        acting,
        "list_sessions",
        {},
        { limit: Infinity, keyOf: (each) => each.session_id, parse: parseSession },
      ),
    );
  }

  /** A session that somebody else registered: an agent's token looks among its own, the service role among all. */
  async #find(sessionId: string): Promise<Named> {
    const { actors } = this.#parts;
    const self = await actors.self();
    if (self !== undefined) return self;
    const found = await actors.runForAll((connection) => ownersOf(connection, sessionId));
    const [only, another] = found ?? [];
    if (only !== undefined && another === undefined) return only;
    if (another !== undefined) {
      throw new FederationError(
        "conflict",
        `updateSessionStatus ${JSON.stringify(sessionId)}: several tenants have such a session`,
        {
          remedy: "Use an agent's own token, or register the session through this adapter",
        },
      );
    }
    const message = `updateSessionStatus ${JSON.stringify(sessionId)}: `;
    if (found !== undefined) throw new FederationError("not_found", `${message}there is no such session`);
    throw new FederationError(
      "not_found",
      `${message}it was not registered through this adapter, so its tenant and agent are unknown`,
      {
        remedy:
          "Call registerSession first; registering again what is yours changes nothing but its metadata",
      },
    );
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { options, clock } = this.#parts;
    while (!signal.aborted) {
      await sleep(clock, options.heartbeatMs, signal).catch(() => undefined);
      for (const [sessionId, owner] of this.#owners) {
        if (signal.aborted) return;
        await this.#beatOnce(sessionId, owner).catch((error: unknown) => {
          // Gone for good; anything else is tried again at the next beat.
          if (isFederationError(error, "not_found") || isFederationError(error, "forbidden"))
            this.#owners.delete(sessionId);
          options.log("info", "a registered session could not be kept alive", { sessionId, error });
        });
      }
    }
  }

  async #beatOnce(sessionId: string, owner: SessionOwner): Promise<void> {
    const answer = await this.#parts.actors.run(owner, ({ connection, as }) =>
      connection.callPlain("heartbeat", { session_id: sessionId, ...as }),
    );
    if (isRecord(answer) && answer["alive"] === false) this.#owners.delete(sessionId); // somebody closed it
  }
}

/** At most two, which is enough to know that it is not one. */
async function ownersOf(connection: Acting["connection"], sessionId: string): Promise<SessionOwner[]> {
  return await connection.request("updateSessionStatus", async (signal) => {
    const { data, error, status } = await connection.client
      .from("agent_sessions")
      .select("tenant_id,agent_id")
      .eq("session_id", sessionId)
      .limit(2)
      .abortSignal(signal);
    if (error !== null) throw restError("updateSessionStatus", status, error);
    const rows: readonly unknown[] = data;
    return rows.flatMap((row) => {
      const tenantId = isRecord(row) ? stringField(row, "tenant_id") : undefined;
      const agentId = isRecord(row) ? stringField(row, "agent_id") : undefined;
      return tenantId === undefined || agentId === undefined ? [] : [{ tenantId, agentId }];
    });
  });
}
