import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";

/** A page of what changed behind a cursor, as `pull_memories` and `pull_messages` answer. */
export interface PulledPage {
  readonly rows: readonly unknown[];
  readonly cursor: string;
  readonly done: boolean;
  /** More has been committed, behind a transaction that is still open. */
  readonly isHeldBack: boolean;
  /** The cursor that was given means nothing any more. */
  readonly isReset: boolean;
  readonly serverTimeMs: number;
}

/** Throws FederationError "protocol" on anything else. `what`: the function that was asked. */
export function parsePulledPage(what: string, answer: unknown): PulledPage {
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
  throw new FederationError("protocol", `${what}: expected rows, cursor and server_time in the answer`);
}
