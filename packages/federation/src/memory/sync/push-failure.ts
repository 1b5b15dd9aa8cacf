import { isFederationError, type FederationErrorCode } from "../../runtime/errors.ts";

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
  const says = isFederationError(error) ? (about[error.code] ?? "nothing") : "nothing";
  if (says === "nothing") return "later";
  if (says === "wrong") return rows > 1 ? "smaller" : "refuse";
  if (rows > 1) return "smaller_later";
  return strikes >= maxStrikes ? "refuse" : "later";
}

/** What a code says of the rows: that there is something wrong with them, or that there may be. All others say nothing of them. */
const about: Readonly<Partial<Record<FederationErrorCode, "wrong" | "perhaps">>> = {
  too_large: "wrong",
  invalid_argument: "wrong",
  conflict: "wrong",
  not_found: "wrong",
  timeout: "perhaps",
  server: "perhaps",
  invalid_state: "perhaps",
};
