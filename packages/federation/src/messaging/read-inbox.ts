import { FederationError } from "../runtime/errors.ts";
import { parseStoredMessage, type CoordinationMessage } from "./message.ts";

/**
 * Every message that one reading of the inbox finds: pages behind a position, oldest first; a short page is not the end, an empty one is.
 * Each reading begins anew, since a message that commits late may have an older position than one that was read.
 */
export async function readInbox(
  pullAfter: (seq: number) => Promise<unknown>,
  signal: AbortSignal,
): Promise<CoordinationMessage[]> {
  const messages: CoordinationMessage[] = [];
  for (let after = 0; ;) {
    const rows = await pullAfter(after);
    if (!Array.isArray(rows))
      throw new FederationError("protocol", `pull_inbox: expected an array, got ${typeof rows}`);
    const page = rows.flatMap((row: unknown) => parseStoredMessage(row) ?? []);
    const last = page.at(-1)?.seq;
    messages.push(...page);
    if (last === undefined || last <= after || signal.aborted) return messages;
    after = last;
  }
}
