import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";

/** A page of what changed, as `pull_memories` answers. */
export interface MemoryPage {
  readonly rows: readonly unknown[];
  readonly cursor: string;
  readonly done: boolean;
  /** More has been committed, behind a transaction that is still open. */
  readonly isHeldBack: boolean;
  /** The cursor that was given means nothing any more. */
  readonly isReset: boolean;
  readonly serverTimeMs: number;
}

/** Throws FederationError "protocol" on anything else. */
export function parseMemoryPage(answer: unknown): MemoryPage {
  if (isRecord(answer)) {
    const { rows, done, held_back, reset } = answer;
    const cursor = stringField(answer, "cursor");
    const serverTimeMs = Date.parse(stringField(answer, "server_time") ?? "");
    if (Array.isArray(rows) && cursor !== undefined && !Number.isNaN(serverTimeMs))
      return {
        rows,
        cursor,
        done: done === true,
        isHeldBack: held_back === true,
        isReset: reset === true,
        serverTimeMs,
      };
  }
  throw new FederationError("protocol", "pull_memories: expected rows, cursor and server_time in the answer");
}

/** What to ask with in order to be told from where to read what changes from now on. */
export const fromNow = "now";

/**
 * The cursor of this moment, out of the answer to `fromNow`, without a row being read: no such cursor was given out, so the answer is a
 * reset that begins a first reading, whose fourth part says up to where everything is to be found there.
 */
export function cursorOfNow({ isReset, cursor }: MemoryPage): string {
  if (!isReset) return cursor;
  const [epoch, , , horizon] = cursor.split(":");
  if (epoch !== undefined && horizon !== undefined) return `${epoch}:${horizon}:0`;
  throw new FederationError("protocol", "pull_memories: expected a cursor that says when the reading began");
}
