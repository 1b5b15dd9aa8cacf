import { isRecord, stringField } from "../runtime/json.ts";

/** A memory of the tenant was added, changed or removed. Of a removed one only the ids are left. */
export interface MemoryEvent {
  readonly type: "memory_added" | "memory_updated" | "memory_deleted";
  readonly id: string;
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly session_id: string | null;
  /** Null for a removed memory. */
  readonly content: string | null;
  readonly embedding: readonly number[] | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** When it changed, ISO 8601. */
  readonly timestamp: string;
}

export type MemoryOperation = "added" | "updated" | "deleted";

/** What a `memory` event of feed or inbox says: the memories, or, where they are too large, their ids. */
export interface MemoryAnnouncement {
  readonly op: MemoryOperation;
  readonly memories: readonly unknown[];
  readonly ids: readonly string[];
}

/** Undefined for anything else. */
export function parseMemoryAnnouncement(payload: unknown): MemoryAnnouncement | undefined {
  if (!isRecord(payload)) return undefined;
  const { op, memories, ids } = payload;
  if (op !== "added" && op !== "updated" && op !== "deleted") return undefined;
  return {
    op,
    memories: Array.isArray(memories) ? memories : [],
    ids: Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [],
  };
}

/** A memory as the database shapes it, as the event that tells of it. Undefined for what is not one. */
export function toMemoryEvent(op: MemoryOperation, memory: unknown): MemoryEvent | undefined {
  if (!isRecord(memory)) return undefined;
  const id = stringField(memory, "id");
  const tenantId = stringField(memory, "tenant_id");
  const agentId = stringField(memory, "agent_id");
  if (id === undefined || tenantId === undefined || agentId === undefined) return undefined;
  const { embedding, metadata } = memory;
  return {
    type: `memory_${op}`,
    id,
    tenant_id: tenantId,
    agent_id: agentId,
    session_id: stringField(memory, "session_id") ?? null,
    content: stringField(memory, "content") ?? null,
    embedding: Array.isArray(embedding) ? embedding.filter((part) => typeof part === "number") : null,
    metadata: isRecord(metadata) ? metadata : {},
    timestamp:
      stringField(memory, "updated_at") ?? stringField(memory, "created_at") ?? new Date(0).toISOString(),
  };
}
