import { hash } from "node:crypto";
import { isFederationError } from "../../runtime/errors.ts";
import type { LocalWrite, TenantStore } from "../local/local-store.ts";
import { Slice } from "../local/turn.ts";
import type { StoredMemory } from "../memory.ts";
import type { MemoryFilter, MemoryRow } from "../memory-row.ts";
import type { SyncEngine } from "../sync/sync-engine.ts";
import { IdTurns } from "./id-turns.ts";
import { LocalSearch } from "./local-search.ts";
import { createStoreSink } from "../transfer/store-sink.ts";
import type { MemoryTransfer, MemoryWrite } from "./memory-backend.ts";
import type { RowNotes } from "./row-notes.ts";
import { storedOf, tombstoneOf } from "./stored-row.ts";
import { isVisible, type Viewer } from "./viewer.ts";
import {
  anothers,
  decide,
  isAdmitted,
  isLiving,
  isSameState,
  markWithin,
  requireVersion,
  rowFor,
  stale,
  versionOf,
  type Decision,
} from "./write-decisions.node.ts";

export interface LocalMemoriesParts {
  readonly tenantId: string;
  readonly notes: RowNotes;
  readonly engine: SyncEngine;
  /** Whether writes are to be brought to a server. */
  readonly hasServer: boolean;
  /** Whose session it is, as far as this process knows. */
  readonly sessionAgent: (sessionId: string) => string | undefined;
  /** What this process wrote, in the order written. */
  readonly onWritten: (change: WrittenChange) => void;
}

export interface WrittenChange {
  readonly change: "added" | "updated" | "deleted";
  readonly row: MemoryRow;
}

export interface Removal {
  readonly viewer: Viewer;
  /** Undefined: whose it is may delete it, and so may whoever asks. */
  readonly owner: Viewer;
  /** Asked about what is not here: deletes it where it may be. Undefined where that is nowhere. */
  readonly elsewhere?:
    | (() => { readonly answer: Promise<boolean>; readonly isAway: boolean } | undefined)
    | undefined;
}

/** Stores a memory on the server, which decides about its version. */
export type StoreThere = (write: MemoryWrite) => Promise<StoredMemory>;

const mostTries = 50;
const deleteAtOnce = 200;

/**
 * The memories of one tenant in a local store, by the rules that the database has for its own: whose they are, what replaces what,
 * what is the same, what a version must be.
 */
export class LocalMemories {
  readonly store: TenantStore;
  readonly engine: SyncEngine;
  readonly search: LocalSearch;
  readonly #parts: LocalMemoriesParts;
  readonly #turns = new IdTurns();

  constructor(parts: LocalMemoriesParts) {
    this.#parts = parts;
    this.store = parts.notes.observed;
    this.engine = parts.engine;
    const { tenantId, notes } = parts;
    this.search = new LocalSearch({ tenantId, notes, now: () => this.engine.nowMs() });
  }

  /** All or none. */
  async write(writes: readonly MemoryWrite[]): Promise<readonly MemoryRow[]> {
    return await this.#turns.take(turnsOf(writes), () => this.#untilWritten(() => this.#writeOnce(writes)));
  }

  /**
   * A write that the server decides about, asked by `store`: only it knows which version a memory has. Later calls for the memory wait
   * for its answer.
   */
  async writeThere(write: MemoryWrite, store: StoreThere, signal?: AbortSignal): Promise<StoredMemory> {
    return await this.#turns.take(turnsOf([write]), async () => {
      signal?.throwIfAborted();
      const stored = await store({ ...write, ifVersion: await this.#versionThere(write, signal) });
      const ids = [stored.id, ...(write.memory.supersedes === undefined ? [] : [write.memory.supersedes])];
      // It is stored: what cannot be read now, a pull brings.
      await this.engine.takeIn(ids).catch(() => this.engine.hint());
      return stored;
    });
  }

  /** What the server calls the version that is expected. One that waits here is this machine's own count, until the server has it. */
  async #versionThere(
    { ifVersion, skipIdentical, memory: { id, supersedes } }: MemoryWrite,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const held = this.store.get(id);
    const isPending = this.store.isPending(id);
    if (isPending) requireVersion(id, ifVersion, held);
    const needsOthers =
      skipIdentical === true || (supersedes !== undefined && this.store.isPending(supersedes));
    if (isPending || needsOthers) await this.#push(signal);
    if (!isPending) return ifVersion;
    const there = this.store.get(id);
    if (!isSameState(held, there)) throw stale(id, `${ifVersion} of this machine`, there);
    return versionOf(there);
  }

  async #push(signal: AbortSignal | undefined): Promise<void> {
    const { refused } = await this.engine.push({ signal });
    if (refused > 0) await this.engine.sync({ signal }); // what was refused is then here as the server has it
  }

  get(id: string, viewer: Viewer): StoredMemory | undefined {
    const row = this.#readable(id, viewer);
    return row === undefined ? undefined : storedOf(row, this.#parts.tenantId);
  }

  /** Behind the calls for this memory that came before, wherever it is. */
  async remove(id: string, removal: Removal): Promise<boolean> {
    const { answer } = await this.#turns.take([id], async () => {
      const elsewhere = this.store.get(id) === undefined ? removal.elsewhere?.() : undefined;
      // Writes of this memory must not wait for a network that is away.
      if (elsewhere?.isAway === true) return elsewhere;
      return { answer: await (elsewhere?.answer ?? this.#untilWritten(() => this.#removeOnce(id, removal))) };
    });
    return await answer;
  }

  async #removeOnce(id: string, { viewer, owner }: Removal): Promise<boolean> {
    const row = this.store.get(id);
    if (row === undefined || row.deleted_at !== null || !isVisible(row, viewer)) return false;
    if (owner !== undefined && row.agent_id !== owner) throw anothers(id);
    await this.#removeRows([row]);
    return true;
  }

  async removeWhere(filter: MemoryFilter, owner: Viewer): Promise<number> {
    const own = owner === undefined ? filter : { ...filter, agent: owner };
    let removed = 0;
    let ids: string[] = [];
    const flush = async (): Promise<void> => {
      removed += await this.#removeMatching(ids, own);
      ids = [];
    };
    for await (const row of this.store.rows()) {
      if (!isAdmitted(row, own)) continue;
      ids.push(row.id);
      if (ids.length >= deleteAtOnce) await flush();
    }
    await flush();
    return removed;
  }

  /** `allow` rejects for agents whom the caller cannot act for. */
  transfer(viewer: Viewer, allow: (agentId: string) => Promise<void>): MemoryTransfer {
    const { hasServer } = this.#parts;
    const inner = createStoreSink(this.store, { outbox: hasServer });
    return {
      source: { rows: (options) => this.#readableRows(viewer, options?.afterId) },
      sink: {
        held: (ids) => inner.held(ids),
        store: async (memories) => {
          for (const agentId of new Set(memories.map((each) => each.agent_id))) await allow(agentId);
          for (const { id, agent_id } of memories)
            if ((this.store.get(id)?.agent_id ?? agent_id) !== agent_id) throw anothers(id);
          const stored = await inner.store(memories);
          if (hasServer && stored > 0) this.engine.wrote();
          return stored;
        },
      },
    };
  }

  async *#readableRows(viewer: Viewer, afterId: string | undefined): AsyncGenerator<MemoryRow> {
    const nowMs = this.engine.nowMs();
    for await (const row of this.store.rows(afterId === undefined ? {} : { afterId })) {
      if (isVisible(row, viewer) && (row.deleted_at !== null || isLiving(row, nowMs))) yield row;
    }
  }

  async #writeOnce(writes: readonly MemoryWrite[]): Promise<readonly MemoryRow[]> {
    const { hasServer, onWritten, sessionAgent } = this.#parts;
    const nowMs = this.engine.nowMs();
    const now = new Date(nowMs).toISOString();
    const decided = new Map<string, Decision>();
    const answers: string[] = [];
    const slice = new Slice();
    for (const write of writes) {
      // What these ids are is decided by nobody else meanwhile; what the server sends in between is noticed when it is written.
      if (answers.length % 16 === 15 && slice.isOver) await slice.rest();
      const held = this.store.get(write.memory.id);
      const row = rowFor(write, held, { nowMs, now, sessionAgent, hlc: this.engine.stamp(held?.hlc) });
      const identical = write.skipIdentical ? await this.#identical(row, decided, nowMs) : undefined;
      answers.push(identical?.id ?? row.id);
      if (identical !== undefined) decided.set(identical.id, decided.get(identical.id) ?? { row: identical });
      else decided.set(row.id, decide(write, row, held));
    }
    markWithin(decided);
    const changed = [...decided.values()].filter((each) => "held" in each);
    const marks = this.#marks(changed);
    const puts = changed.map(({ row, held }) => ({ row, expect: held?.version ?? 0 }));
    if (puts.length > 0) await this.#commit(hasServer ? puts : [...puts, ...marks]);
    // The server makes these marks too when it gets the new one; until then they are this machine's own.
    if (hasServer && marks.length > 0) await this.#writeMarks(marks);
    for (const { row, held } of changed) {
      const isNew = held === undefined || held.deleted_at !== null;
      onWritten({ change: isNew ? "added" : "updated", row });
    }
    return answers.map((id) => decided.get(id)!.row); // each was decided
  }

  async #identical(
    row: MemoryRow,
    decided: ReadonlyMap<string, Decision>,
    nowMs: number,
  ): Promise<MemoryRow | undefined> {
    const isSame = (other: MemoryRow | undefined): other is MemoryRow =>
      other !== undefined &&
      other.content_hash === row.content_hash &&
      other.agent_id === row.agent_id &&
      other.scope === row.scope &&
      isLiving(other, nowMs) &&
      other.superseded_by === null;
    for (const { row: earlier } of decided.values()) if (isSame(earlier)) return earlier;
    for (const id of await this.#parts.notes.withContent(row)) {
      const held = this.store.get(id);
      if (isSame(held)) return held;
    }
    return undefined;
  }

  /** One's own older memories that the new ones replace. Their clock stays: it is nobody's write. */
  #marks(changed: readonly Decision[]): LocalWrite[] {
    return changed.flatMap(({ row }) => {
      const older = row.supersedes === null ? undefined : this.store.get(row.supersedes);
      const isOwn = older !== undefined && older.agent_id === row.agent_id && older.deleted_at === null;
      if (!isOwn || older.superseded_by === row.id || changed.some((each) => each.row.id === older.id))
        return [];
      return [
        { row: { ...older, superseded_by: row.id, version: older.version + 1 }, expect: older.version },
      ];
    });
  }

  /** What the server sent in between has its mark, or needs none. */
  async #writeMarks(marks: readonly LocalWrite[]): Promise<void> {
    for (const mark of marks) {
      await this.store.write([mark], { outbox: false }).catch((error: unknown) => {
        if (!isFederationError(error, "conflict")) throw error;
      });
    }
  }

  async #removeMatching(ids: readonly string[], filter: MemoryFilter): Promise<number> {
    if (ids.length === 0) return 0;
    return await this.#turns.take(ids, () =>
      this.#untilWritten(async () => {
        // They may have changed since they were found.
        const rows = ids.flatMap((id) => this.store.get(id) ?? []).filter((row) => isAdmitted(row, filter));
        await this.#removeRows(rows);
        return rows.length;
      }),
    );
  }

  async #removeRows(rows: readonly MemoryRow[]): Promise<void> {
    if (rows.length === 0) return;
    const { onWritten } = this.#parts;
    const now = new Date(this.engine.nowMs()).toISOString();
    const writes = rows.map((held) => ({
      row: tombstoneOf(held, { hlc: this.engine.stamp(held.hlc), now }),
      expect: held.version,
    }));
    await this.#commit(writes);
    for (const { row } of writes) onWritten({ change: "deleted", row });
  }

  /** What the server sent in between is decided about anew. */
  async #untilWritten<T>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof RowMoved)) throw error;
        if (tries >= mostTries) throw error.cause;
        await new Promise<void>((resolve) => void setImmediate(resolve));
      }
    }
  }

  async #commit(writes: readonly LocalWrite[]): Promise<void> {
    const { hasServer } = this.#parts;
    try {
      await this.store.write(writes, { outbox: hasServer });
    } catch (error) {
      throw isFederationError(error, "conflict") ? new RowMoved(error) : error;
    }
    if (hasServer) this.engine.wrote();
  }

  #readable(id: string, viewer: Viewer): MemoryRow | undefined {
    const row = this.store.get(id);
    return row !== undefined && this.#isReadable(row, viewer) ? row : undefined;
  }

  #isReadable(row: MemoryRow, viewer: Viewer): boolean {
    return isLiving(row, this.engine.nowMs()) && isVisible(row, viewer);
  }
}

function turnsOf(writes: readonly MemoryWrite[]): ReadonlySet<string> {
  const turns = new Set<string>();
  for (const { memory, skipIdentical } of writes) {
    turns.add(memory.id);
    if (memory.supersedes !== undefined) turns.add(memory.supersedes);
    if (skipIdentical === true) turns.add(contentTurn(memory));
  }
  return turns;
}

/** Of two that come at the same time the second is to find the first. Not the id of any memory. */
function contentTurn({ content }: MemoryWrite["memory"]): string {
  return `\u0000${hash("sha256", content)}`;
}

/** A row is no longer as it was when the write was decided on. */
class RowMoved extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}
