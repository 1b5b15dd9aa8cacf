import { toError } from "../runtime/errors.ts";
import { parseMemoryAnnouncement, toMemoryEvent, type MemoryEvent } from "./memory-event.ts";

export interface MemoryFeedParts {
  readonly agentId: string;
  readonly tenantId: string;
  readonly clock: { now(): number };
  readonly readMemory: (id: string) => Promise<unknown>;
  readonly tell: (event: MemoryEvent) => void;
  readonly onError: (error: Error) => void;
}

/** Turns announcements of memories into one event each, in order, reading those that were too large to be announced whole. */
export class MemoryFeed {
  readonly #parts: MemoryFeedParts;
  #tail: Promise<void> = Promise.resolve();

  constructor(parts: MemoryFeedParts) {
    this.#parts = parts;
  }

  /** A `memory` event of feed or inbox. */
  heard(payload: unknown): void {
    const announcement = parseMemoryAnnouncement(payload);
    if (announcement === undefined) return;
    const { op, memories, ids } = announcement;
    this.#tail = this.#tail
      .then(async () => {
        for (const memory of memories) this.#tell(toMemoryEvent(op, memory));
        for (const id of ids) this.#tell(await this.#read(op, id));
      })
      .catch((error: unknown) => this.#parts.onError(toError(error)));
  }

  #tell(event: MemoryEvent | undefined): void {
    if (event !== undefined && event.tenant_id === this.#parts.tenantId) this.#parts.tell(event);
  }

  /** Undefined when it is gone again: its removal is announced as well. */
  async #read(op: "added" | "updated" | "deleted", id: string): Promise<MemoryEvent | undefined> {
    const { agentId, tenantId, clock } = this.#parts;
    if (op !== "deleted") return toMemoryEvent(op, await this.#parts.readMemory(id));
    const timestamp = new Date(clock.now()).toISOString();
    // Whose it was went with it.
    return {
      type: "memory_deleted",
      id,
      tenant_id: tenantId,
      agent_id: agentId,
      session_id: null,
      content: null,
      embedding: null,
      metadata: {},
      timestamp,
    };
  }
}
