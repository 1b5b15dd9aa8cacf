import { sleep, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Scope } from "../runtime/scope.ts";
import { inSenderOrder, parseStoredMessage, type CoordinationMessage } from "./message.ts";

export interface CatchUpParts {
  /** For the log: what is read. */
  readonly what: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly scope: Scope;
  /** After which position reading begins; asked anew each time. */
  readonly startSeq: () => number;
  /** One page of rows after a position, oldest first; a short page is not the end, an empty one is. */
  readonly readAfter: (seq: number) => Promise<unknown>;
  /** In order per sender. A message may come more than once. `wasRead`: it may have been delivered before. */
  readonly admit: (messages: readonly CoordinationMessage[], wasRead: boolean) => void;
}

const againAfterMs = 2_000;

/** Joins what is heard live with what has to be read because it was missed: while reading lasts, the live ones wait. */
export class CatchUp {
  readonly #parts: CatchUpParts;
  #arrived: CoordinationMessage[] = [];
  #isPulling = false;
  #again = false;

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
  }

  receive(message: CoordinationMessage): void {
    if (this.#isPulling) this.#arrived.push(message);
    else this.#parts.admit([message], false);
  }

  /** Reads what was missed, until that has succeeded. Calls while one runs make it run once more. */
  pull(): void {
    this.#again = true;
    if (this.#isPulling) return;
    this.#isPulling = true;
    this.#parts.scope.run(async (signal) => {
      try {
        while (this.#again && !signal.aborted) {
          this.#again = false;
          await this.#pullOnce(signal);
        }
      } finally {
        this.#isPulling = false;
      }
    });
  }

  async #pullOnce(signal: AbortSignal): Promise<void> {
    const { what, clock, log, admit } = this.#parts;
    try {
      const missed = await this.#readAll(signal);
      admit([...inSenderOrder(missed), ...this.#arrived.splice(0)], true);
    } catch (error) {
      if (signal.aborted) return;
      admit(this.#arrived.splice(0), false);
      log("debug", "messages could not be read and are read again", { what, error });
      this.#again = true;
      await sleep(clock, againAfterMs, signal).catch(() => {});
    }
  }

  async #readAll(signal: AbortSignal): Promise<CoordinationMessage[]> {
    const { what, readAfter, startSeq } = this.#parts;
    const messages: CoordinationMessage[] = [];
    for (let after = startSeq(); ;) {
      const rows = await readAfter(after);
      if (!Array.isArray(rows))
        throw new FederationError("protocol", `${what}: expected an array, got ${typeof rows}`);
      const page = rows.flatMap((row: unknown) => parseStoredMessage(row) ?? []);
      const last = page.at(-1)?.seq;
      messages.push(...page);
      if (last === undefined || last <= after || signal.aborted) return messages;
      after = last;
    }
  }
}
