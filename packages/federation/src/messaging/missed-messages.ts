import { FederationError } from "../runtime/errors.ts";
import { parseStoredMessage, type CoordinationMessage } from "./message.ts";
import { parsePulledPage, type PulledPage } from "./pulled-page.ts";

/** What one reading found. */
export interface Missed {
  readonly messages: readonly CoordinationMessage[];
  /** More has been committed, behind a transaction that is still open: it is read once that has ended. */
  readonly isHeldBack: boolean;
}

export interface MissedMessagesParts {
  /** From where on messages are this agent's concern, and when it was there. Default: from now on. */
  readonly begin?: () => Promise<{ readonly cursor: string; readonly atMs: number }>;
  /** `pull_messages`: the next page behind a cursor; null asks for the cursor of this moment. */
  readonly pull: (cursor: string | null, maxRows?: number) => Promise<unknown>;
  /** Messages up to this time were told, as far as one that was is not known by its id. */
  readonly toldUntilMs: () => number;
}

/** Reads the stored messages behind a cursor that loses none to transactions that commit late, nor to a database that was restored. */
export class MissedMessages {
  readonly #parts: MissedMessagesParts;
  #cursor: string | undefined;
  #beganMs = -Infinity;

  constructor(parts: MissedMessagesParts) {
    this.#parts = parts;
  }

  /** Everything before it has been read. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  async begin(): Promise<void> {
    const { begin } = this.#parts;
    if (begin !== undefined) {
      ({ cursor: this.#cursor, atMs: this.#beganMs } = await begin());
      return;
    }
    const page = await this.#page(null);
    this.#cursor = page.cursor;
    this.#beganMs = page.serverTimeMs;
  }

  /** Everything since the last reading, in the order of the transactions. A message may come more than once. */
  async read(signal: AbortSignal): Promise<Missed> {
    const messages: CoordinationMessage[] = [];
    if (this.#cursor === undefined) await this.begin();
    let cursor = this.#cursor ?? null;
    let sinceMs = -Infinity;
    for (;;) {
      const page = await this.#page(cursor);
      ({ cursor } = page);
      if (page.isReset) {
        // Another database, or one that was put back: what was stored there since this agent came, but for what it knows.
        if (sinceMs !== -Infinity)
          throw new FederationError("protocol", "pull_messages: the cursor it gave is none");
        sinceMs = Math.max(this.#beganMs, this.#parts.toldUntilMs());
        continue;
      }
      for (const row of page.rows) {
        const message = parseStoredMessage(row);
        if (message !== undefined && !(Date.parse(message.timestamp) < sinceMs)) messages.push(message);
      }
      if (!page.done && !signal.aborted) continue;
      if (page.done) this.#cursor = cursor;
      return { messages, isHeldBack: page.isHeldBack };
    }
  }

  /** The next one alone, and the cursor behind it; undefined when there is none, or when reading begins anew. */
  async next(): Promise<{ readonly message: CoordinationMessage; readonly cursor: string } | undefined> {
    if (this.#cursor === undefined) await this.begin();
    const { rows, cursor } = await this.#page(this.#cursor ?? null, 1);
    const message = parseStoredMessage(rows[0]);
    return message === undefined ? undefined : { message, cursor };
  }

  /** Everything before it has been read, and is not read again. */
  passed(cursor: string): void {
    this.#cursor = cursor;
  }

  async #page(cursor: string | null, maxRows?: number): Promise<PulledPage> {
    return parsePulledPage("pull_messages", await this.#parts.pull(cursor, maxRows));
  }
}
