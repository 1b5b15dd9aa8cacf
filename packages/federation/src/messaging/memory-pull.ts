import { FederationError } from "../runtime/errors.ts";
import type { PulledPage } from "./pulled-page.ts";

/** What to ask with in order to be told from where to read what changes from now on. */
export const fromNow = "now";

/**
 * The cursor of this moment, out of the answer to `fromNow`, without a row being read: no such cursor was given out, so the answer is a
 * reset that begins a first reading, whose fourth part says up to where everything is to be found there.
 */
export function cursorOfNow({ isReset, cursor }: PulledPage): string {
  if (!isReset) return cursor;
  const [epoch, , , horizon] = cursor.split(":");
  if (epoch !== undefined && horizon !== undefined) return `${epoch}:${horizon}:0`;
  throw new FederationError("protocol", "pull_memories: expected a cursor that says when the reading began");
}
