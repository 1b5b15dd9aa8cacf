import { isId } from "../config/ids.ts";
import { isRecord, stringField } from "../runtime/json.ts";

/** The statuses with a meaning of their own; an application may use any other text. */
export type AgentStatus = "online" | "busy" | "offline" | (string & {});

/** What an agent shows of itself. One for each process of the agent. */
export interface AgentPresence {
  readonly agent_id: string;
  readonly tenant_id: string;
  readonly status: AgentStatus;
  /** What it is doing, if it says so. */
  readonly task: string | undefined;
  /** ISO 8601. */
  readonly started_at: string;
  /** When this was last said, ISO 8601. */
  readonly last_heartbeat: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Which process of the agent. */
  readonly instance_id: string;
  readonly capabilities: readonly string[];
  /** How busy it says it is, from 0 to 1. */
  readonly load: number | undefined;
}

const keyPrefix = "agent:";

/** The presence key of an agent. The prefix keeps it off keys that a client would trip over, such as `ids` or `__proto__`. */
export function presenceKey(agentId: string): string {
  return keyPrefix + agentId;
}

/** Presence as a peer or the database says it; undefined for anything that is not one. `key` must be that of the agent it names. */
export function parsePresence(value: unknown, key?: string): AgentPresence | undefined {
  if (!isRecord(value)) return undefined;
  const { agent_id, tenant_id } = value;
  if (!isId(agent_id) || !isId(tenant_id)) return undefined;
  if (key !== undefined && key !== presenceKey(agent_id)) return undefined;
  const startedAt = stringField(value, "started_at") ?? "";
  return {
    agent_id,
    tenant_id,
    status: stringField(value, "status") ?? "online",
    task: stringField(value, "task"),
    started_at: startedAt,
    last_heartbeat: stringField(value, "last_heartbeat") ?? stringField(value, "last_seen_at") ?? startedAt,
    metadata: isRecord(value["metadata"]) ? value["metadata"] : {},
    instance_id: stringField(value, "instance_id") ?? stringField(value, "session_id") ?? "",
    capabilities: strings(value["capabilities"]),
    load: loadOf(value["load"]),
  };
}

function loadOf(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && value <= 1 ? value : undefined;
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
