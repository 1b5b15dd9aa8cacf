import { isFederationError } from "../../runtime/errors.ts";

/** What to do with a batch that was not answered row by row. */
export type AfterFailure =
  /** Less, at once. */
  | "smaller"
  /** Less, after a wait. */
  | "smaller_later"
  /** The same, after a wait. */
  | "later"
  /** One row, which the server cannot take: it must not block the others. */
  | "refuse";

export interface FailedBatch {
  readonly error: unknown;
  readonly rows: number;
  /** How often this row alone has failed while the server answered other requests in between. */
  readonly strikes: number;
}

/** A row that fails alone this often, while others are served, is given up. */
export const maxStrikes = 5;

/** Pure. */
export function afterPushFailure({ error, rows, strikes }: FailedBatch): AfterFailure {
  if (!isFederationError(error)) return "later";
  const { code } = error;
  switch (code) {
    case "too_large":
    case "invalid_argument":
    case "conflict":
    case "not_found":
      return rows > 1 ? "smaller" : "refuse";
    case "timeout":
    case "server":
    case "invalid_state":
      if (rows > 1) return "smaller_later";
      return strikes >= maxStrikes ? "refuse" : "later";
    // Nobody answers, or nobody may ask: that says nothing of the rows.
    default:
      return "later";
  }
}
