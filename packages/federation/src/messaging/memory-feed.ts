import { sleep, withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError, isRetryable, toError } from "../runtime/errors.ts";
import { isRecord, numberField, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import {
  parseMemoryAnnouncement,
  toMemoryEvent,
  type MemoryEvent,
  type MemoryOperation,
} from "./memory-event.ts";
import { MemoryPlace } from "./memory-place.ts";
import { cursorOfNow, fromNow } from "./memory-pull.ts";
import { parsePulledPage, type PulledPage } from "./pulled-page.ts";

export interface MemoryFeedParts {
  readonly agentId: string;
  readonly tenantId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly readMemory: (id: string) => Promise<unknown>;
  /** `pull_memories`: the next page behind a cursor. */
  readonly pullMemories: (cursor: string | null) => Promise<unknown>;
  /** `memory_place`: null asks for the agent's place; a cursor says that everything before it was told. */
  readonly keepPlace: (cursor: string | null) => Promise<unknown>;
  readonly tell: (event: MemoryEvent) => void;
  readonly onError: (error: Error) => void;
}

const againAfterMs = 2_000;
// What was told live is remembered until it has been read as well, so it is read before that is too much.
const mostUnread = 2_000;
// What was read may still be announced: a socket can be slower than a request.
const mostRemembered = 5_000;
// What was told live is read at least so often, so that a process which is killed has little told again by the next one.
const readAfterMs = 300_000;
const closeMs = 1_000;
// What is held back mostly waits for a transaction of milliseconds.
const firstLookMs = 25;
// Another database's rows are told by when they changed; transactions take a while.
const slackMs = 10_000;

/**
 * Turns announcements of memories into one event each, in order, reading those that were too large to be announced whole. After an
 * absence, also of the agent, it reads what changed meanwhile, in the order of the server, and tells of each changed memory once, as it
 * is now. What was there when the agent first began is not told.
 */
export class MemoryFeed {
  readonly #parts: MemoryFeedParts;
  #tail: Promise<void> = Promise.resolve();
  readonly #place: MemoryPlace;
  #cursor: string | undefined;
  /** When everything before the cursor was read, by the server's clock. */
  #readAtMs = 0;
  #pulledAtMs = 0;
  /** The `seq` that was told last of each memory, longest ago first; Infinity where it is not known. */
  readonly #told = new Map<string, number>();
  /** Of those, what is behind the cursor, so that reading comes upon it. */
  readonly #unread = new Set<string>();
  #newest = 0;
  #isPulling = false;
  #isClosed = false;
  #cancelRetry: (() => void) | undefined;

  constructor(parts: MemoryFeedParts) {
    this.#parts = parts;
    this.#place = new MemoryPlace({ log: parts.log, keep: parts.keepPlace });
  }

  /** A `memory` event of feed or inbox. */
  heard(payload: unknown): void {
    const announcement = parseMemoryAnnouncement(payload);
    if (announcement === undefined) return;
    const { op, memories, ids } = announcement;
    this.#next(async () => {
      for (const memory of memories) this.#tell(op, memory);
      for (const id of ids) await this.#tellById(op, id);
      if (this.#unread.size > mostUnread) this.pull();
    });
  }

  /** Something may have been missed: reads what changed since the last reading, the first time since the agent's last process read. */
  pull(): void {
    if (this.#isPulling || this.#isClosed) return;
    this.#isPulling = true;
    this.#next(async () => {
      this.#isPulling = false;
      try {
        await this.#pull();
      } catch (error) {
        if (!isRetryable(error)) throw error;
        this.#parts.log("debug", "missed memories could not be read and are read again", { error });
        this.#pullAgain();
      }
    });
  }

  #pullAgain(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.#parts.clock.after(againAfterMs, () => this.pull());
  }

  /** Where the server says the feed is, now and then: beyond what was heard, something was missed. */
  position(seq: number): void {
    const isLongAgo = this.#place.isBehind && this.#parts.clock.now() - this.#pulledAtMs >= readAfterMs;
    if (seq <= this.#newest && !isLongAgo) return;
    this.#newest = Math.max(seq, this.#newest);
    this.pull();
  }

  /** Resolves when nothing is told any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry?.();
    await this.#tail;
    await this.#keepLast();
  }

  #next(task: () => Promise<void>): void {
    this.#tail = this.#tail
      .then(async () => {
        if (!this.#isClosed) await task();
      })
      .catch((error: unknown) => {
        if (!this.#isClosed) this.#parts.onError(toError(error));
      });
  }

  async #pull(): Promise<void> {
    this.#cursor ??= await this.#begin();
    let sinceMs = -Infinity;
    for (let cursor: string | null = this.#cursor; !this.#isClosed;) {
      const page = await this.#page(cursor);
      if (page.isReset && cursor !== null) {
        // Another database, or one that was put back: what changed there since we read, told anew.
        sinceMs = this.#readAtMs - slackMs;
        this.#told.clear();
        this.#unread.clear();
        cursor = null;
        continue;
      }
      for (const row of page.rows) this.#tellMissed(row, sinceMs);
      cursor = page.cursor;
      if (!page.done && page.rows.length > 0) continue;
      this.#cursor = cursor;
      this.#readAtMs = page.serverTimeMs;
      this.#pulledAtMs = this.#parts.clock.now();
      if (page.isHeldBack) this.#pullAgain();
      this.#forgetOldest();
      return await this.#place.reached(cursor);
    }
  }

  async #begin(): Promise<string> {
    const place = await this.#place.begin();
    if (place !== undefined) {
      this.#readAtMs = place.atMs;
      return place.cursor;
    }
    const begin = await this.#page(fromNow);
    this.#readAtMs = begin.serverTimeMs;
    return cursorOfNow(begin);
  }

  /** So that the next process does not tell again what this one told. What this one was not told is the next one's. */
  async #keepLast(): Promise<void> {
    if (this.#cursor === undefined || !this.#place.isBehind) return;
    const { clock, log } = this.#parts;
    const error = (): Error => new FederationError("timeout", `memory_place: not within ${closeMs} ms`);
    const last = withDeadline((signal) => this.#readTold(signal), { clock, ms: closeMs, error });
    await last.catch((failure: unknown) =>
      log("debug", "the last place among the memories could not be kept", { error: failure }),
    );
  }

  async #readTold(signal: AbortSignal): Promise<void> {
    let cursor = this.#cursor ?? null;
    for (let lookMs = firstLookMs; !signal.aborted;) {
      const page = await this.#page(cursor);
      if (page.isReset || !page.rows.every((row) => this.#wasTold(row))) return;
      cursor = page.cursor;
      if (!page.done && page.rows.length > 0) continue;
      if (!page.isHeldBack) return await this.#place.reached(cursor);
      await sleep(this.#parts.clock, lookMs, signal);
      lookMs *= 2;
    }
  }

  #wasTold(row: unknown): boolean {
    const id = isRecord(row) ? stringField(row, "id") : undefined;
    const told = id === undefined ? undefined : this.#told.get(id);
    return told !== undefined && isRecord(row) && told >= (numberField(row, "seq") ?? Infinity);
  }

  async #page(cursor: string | null): Promise<PulledPage> {
    return parsePulledPage("pull_memories", await this.#parts.pullMemories(cursor));
  }

  /** A row of the reading. */
  #tellMissed(row: unknown, sinceMs: number): void {
    if (!isRecord(row)) return;
    const event = toMemoryEvent(operationOf(row), row);
    const seq = numberField(row, "seq") ?? 0;
    if (event === undefined) return;
    const told = this.#told.get(event.id) ?? -1;
    if (told === Infinity || told <= seq) this.#unread.delete(event.id);
    if (told >= seq) {
      if (told === Infinity) this.#remember(event.id, seq);
      return;
    }
    this.#remember(event.id, seq);
    if (!(Date.parse(event.timestamp) < sinceMs)) this.#emit(event);
  }

  #tell(op: MemoryOperation, memory: unknown): void {
    const event = toMemoryEvent(op, memory);
    if (event === undefined || !isRecord(memory)) return;
    // It left the sight of the others: the inbox says what became of it.
    const keptBy = memory["kept_by"];
    if (op === "deleted" && Array.isArray(keptBy) && keptBy.includes(this.#parts.agentId)) return;
    const seq = numberField(memory, "seq") ?? Infinity;
    const told = this.#told.get(event.id) ?? -1;
    if (told !== Infinity && told >= seq) return;
    this.#remember(event.id, seq);
    this.#unread.add(event.id);
    this.#emit(event);
  }

  #remember(id: string, seq: number): void {
    this.#told.delete(id);
    this.#told.set(id, seq);
    if (seq !== Infinity) this.#newest = Math.max(this.#newest, seq);
  }

  #forgetOldest(): void {
    let excess = this.#told.size - this.#unread.size - mostRemembered;
    for (const id of this.#told.keys()) {
      if (excess <= 0) return;
      if (this.#unread.has(id)) continue;
      this.#told.delete(id);
      excess -= 1;
    }
  }

  /** Nothing when it is gone again: its removal is announced as well. */
  async #tellById(op: MemoryOperation, id: string): Promise<void> {
    const { agentId, tenantId, clock, readMemory } = this.#parts;
    if (op !== "deleted") return this.#tell(op, await readMemory(id));
    // Whose it was went with it.
    const timestamp = new Date(clock.now()).toISOString();
    this.#tell(op, { id, tenant_id: tenantId, agent_id: agentId, updated_at: timestamp });
  }

  #emit(event: MemoryEvent | undefined): void {
    if (event === undefined || event.tenant_id !== this.#parts.tenantId) return;
    this.#place.told();
    this.#parts.tell(event);
  }
}

function operationOf(row: Readonly<Record<string, unknown>>): MemoryOperation {
  if (typeof row["deleted_at"] === "string") return "deleted";
  return row["version"] === 1 ? "added" : "updated";
}
