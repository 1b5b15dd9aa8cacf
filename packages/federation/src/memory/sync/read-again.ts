import { isRecord } from "../../runtime/json.ts";
import type { TenantStore } from "../local/local-store.ts";
import type { MemoryRow } from "../memory-row.ts";
import type { Admission } from "./admission.ts";
import { changesOf, goneChange } from "./changes.ts";
import { compareHlc } from "./hlc.ts";
import type { Ask } from "./pusher.ts";
import type { ServerTime } from "./server-time.ts";
import type { SyncServer } from "./sync-server.ts";
import type { SyncChange } from "./sync-state.ts";
import { parseRow } from "./wire-row.ts";

export interface ReadAgainParts {
  readonly store: TenantStore;
  readonly server: SyncServer;
  readonly ask: Ask;
  readonly time: ServerTime;
  readonly admission: Admission;
  readonly tell: (changes: readonly SyncChange[]) => void;
  /** Durably: these are about to be replaced, and the next comparison shall tell of them if nobody has by then. */
  readonly remember: (ids: readonly string[]) => Promise<void>;
  /** Whether nobody may have been told of what is held. */
  readonly isUntold: (held: MemoryRow) => boolean;
  /** Whether it was there before anybody had to be told. */
  readonly wasAtFirst: (row: MemoryRow) => boolean;
}

export interface ReadAgainOptions {
  /** For a comparison: what the server has instead is told. Otherwise it was told when it was pulled, or will be. */
  readonly isComparison: boolean;
  readonly signal: AbortSignal;
}

const readAtOnce = 100;

/** Makes single memories what they are on the server, also where what is held has the later clock. */
export class ReadAgain {
  readonly #parts: ReadAgainParts;

  constructor(parts: ReadAgainParts) {
    this.#parts = parts;
  }

  /** Afterwards each id is here as the server has it, or waits in the outbox. A slice at a time, so that others get their turn. */
  async readAgain(ids: readonly string[], options: ReadAgainOptions): Promise<void> {
    for (let at = 0; at < ids.length; at += readAtOnce)
      await this.#readSlice(ids.slice(at, at + readAtOnce), options);
  }

  /** What a process before this one let go, and had no time to tell. */
  async tellGone(): Promise<void> {
    const { store, tell } = this.#parts;
    const gone = parseRows(store.readFact("gone"));
    if (gone.length === 0) return;
    tell(
      gone
        .filter(({ id }) => store.get(id) === undefined)
        .map((row): SyncChange => ({ change: "deleted", row })),
    );
    await store.writeFact("gone", "[]");
  }

  /** Of these, what is here as the server has it: nothing that waits to be pushed. */
  async asThere(ids: readonly string[], signal: AbortSignal): Promise<readonly SyncChange[]> {
    const { store, server, ask } = this.#parts;
    const changes: SyncChange[] = [];
    for (let at = 0; at < ids.length; at += readAtOnce) {
      const slice = ids.slice(at, at + readAtOnce);
      for (const { row } of await ask("read", (inner) => server.read(slice, inner), signal)) {
        const held = store.get(row.id);
        if (held !== undefined && compareHlc(held.hlc, row.hlc) === 0) changes.push(...changesOf(row, held));
      }
    }
    return changes;
  }

  async #readSlice(ids: readonly string[], { isComparison, signal }: ReadAgainOptions): Promise<void> {
    const { store, server, ask, admission, time, tell, remember, isUntold, wasAtFirst } = this.#parts;
    const found = await ask("read", (inner) => server.read(ids, inner), signal);
    const rows = new Map(found.map(({ row }) => [row.id, row]));
    const held = ids.flatMap((id) => store.get(id) ?? []);
    const gone = held.filter(({ id }) => !rows.has(id));
    const replaced = held.flatMap((mine) => {
      const row = rows.get(mine.id);
      return row !== undefined && compareHlc(mine.hlc, row.hlc) > 0 ? [{ mine, row }] : [];
    });
    // What the server has later, a comparison leaves to the pulling that tells of it: only doubts take what was passed over.
    const passedOver = isComparison
      ? []
      : [...rows.values()].filter((row) => held.some(({ id }) => id === row.id) || admission.takes(row));
    // Of what is doubted a row may have been told that was passed over for a deletion of this machine: its end is told, too.
    const goneChanges = gone
      .filter((row) => row.deleted_at === null || !isComparison || isUntold(row))
      .map((row) => goneChange(row, time.now()));
    if (goneChanges.length > 0)
      await store.writeFact("gone", JSON.stringify(goneChanges.map(({ row }) => row)));
    await remember([...replaced.map(({ row }) => row), ...passedOver].map(({ id }) => id));
    // Not what is to be pushed: the store keeps that.
    await store.forget(gone.map(({ id }) => id));
    await store.replace(replaced.map(({ row }) => row));
    await store.apply(passedOver);
    // Of what was there at first nobody is told because a write over it waits to be pushed.
    const isKept = ({ id, hlc }: MemoryRow): boolean => compareHlc(store.get(id)?.hlc ?? hlc, hlc) > 0;
    const news = replaced.filter(({ row }) => isComparison && !(wasAtFirst(row) && isKept(row)));
    tell(news.flatMap(({ mine, row }) => changesOf(row, mine)));
    if (goneChanges.length > 0) await this.tellGone();
  }
}

function parseRows(text: string | undefined): MemoryRow[] {
  const rows: unknown = text === undefined || text === "" ? [] : JSON.parse(text);
  return Array.isArray(rows) ? rows.filter(isRecord).map((row) => parseRow({ ...row, seq: 0 }).row) : [];
}
