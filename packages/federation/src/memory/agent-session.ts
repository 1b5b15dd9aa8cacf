import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";

/** A process of an agent, as the database knows it. */
export interface AgentSession {
  readonly session_id: string;
  readonly tenant_id: string;
  readonly agent_id: string;
  /** `online`, `busy`, `offline`, or what the application says. */
  readonly status: string;
  readonly task: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly started_at: string;
  readonly last_seen_at: string;
  /** Null while it is active. */
  readonly ended_at: string | null;
  readonly end_reason: string | null;
}

/** Reads a row of the database's functions. Throws FederationError "protocol" on what is not a session. */
export function parseSession(row: unknown): AgentSession {
  if (!isRecord(row))
    throw new FederationError(
      "protocol",
      `a session from the database: expected an object, found ${typeof row}`,
    );
  const text = (name: string): string => {
    const value = stringField(row, name);
    if (value !== undefined) return value;
    throw new FederationError(
      "protocol",
      `a session from the database: expected text in ${name}, found ${typeof row[name]}`,
    );
  };
  return {
    session_id: text("session_id"),
    tenant_id: text("tenant_id"),
    agent_id: text("agent_id"),
    status: text("status"),
    task: stringField(row, "task") ?? null,
    metadata: isRecord(row["metadata"]) ? row["metadata"] : {},
    started_at: text("started_at"),
    last_seen_at: text("last_seen_at"),
    ended_at: stringField(row, "ended_at") ?? null,
    end_reason: stringField(row, "end_reason") ?? null,
  };
}
