import { sleep, type Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Scope } from "../runtime/scope.ts";
import { inSenderOrder, type CoordinationMessage } from "./message.ts";
import type { Missed } from "./missed-messages.ts";

export interface CatchUpParts {
  /** For the log: what is read. */
  readonly what: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly scope: Scope;
  readonly read: (signal: AbortSignal) => Promise<Missed>;
  /** One message that was announced by its id alone; undefined when it is gone. */
  readonly readOne?: (id: string) => Promise<CoordinationMessage | undefined>;
  /** After what was read has been admitted. */
  readonly onRead?: (missed: Missed) => void;
  /** In order per sender. A message may come more than once. `wasRead`: it may have been delivered before. */
  readonly admit: (messages: readonly CoordinationMessage[], wasRead: boolean) => void;
}

const againAfterMs = 2_000;
// What is held back mostly waits for a transaction of milliseconds.
const firstLookMs = 100;
const longHeldMs = 60_000;
const mostArrived = 10_000;

/**
 * Joins what is heard live with what has to be read because it was missed: until reading has succeeded the live ones wait, since an older
 * one of the same sender may be among what is read.
 */
export class CatchUp {
  readonly #parts: CatchUpParts;
  readonly #wanted = new Set<string>();
  #arrived: CoordinationMessage[] = [];
  #isPulling = false;
  #again = false;
  #held:
    | { readonly sinceMs: number; nextLookMs: number; isWaiting: boolean; isReported: boolean }
    | undefined;

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
  }

  receive(messages: readonly CoordinationMessage[]): void {
    if (!this.#isPulling) this.#parts.admit(messages, false);
    else if (this.#arrived.length + messages.length <= mostArrived) this.#arrived.push(...messages);
    else this.#again = true; // they are read
  }

  /** Reads what was missed, until that has succeeded. Calls while one runs make it run once more. `id`: this one at any rate. */
  pull(id?: string): void {
    if (id !== undefined) this.#wanted.add(id);
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
    const { what, clock, log, admit, read, onRead } = this.#parts;
    try {
      const missed = await read(signal);
      const messages = [...missed.messages, ...(await this.#readWanted(missed.messages))];
      // Asked for once more while it ran: something may have been missed that this reading was too early for.
      const arrived = this.#again ? [] : this.#arrived.splice(0);
      admit([...inSenderOrder(messages), ...arrived], true);
      onRead?.(missed);
      if (missed.isHeldBack) this.#lookAgain();
      else this.#held = undefined;
    } catch (error) {
      if (signal.aborted) return;
      log("debug", "messages could not be read and are read again", { what, error });
      this.#again = true;
      await sleep(clock, againAfterMs, signal).catch(() => {});
    }
  }

  async #readWanted(found: readonly CoordinationMessage[]): Promise<CoordinationMessage[]> {
    const { readOne } = this.#parts;
    if (this.#wanted.size === 0) return [];
    const wanted = [...this.#wanted].filter((id) => found.every((message) => message.id !== id));
    const read = readOne === undefined ? [] : await Promise.all(wanted.map(readOne));
    for (const id of wanted) this.#wanted.delete(id);
    for (const { id } of found) this.#wanted.delete(id);
    return read.filter((message) => message !== undefined);
  }

  /** Soon, then more seldom. Live messages need not wait for it. */
  #lookAgain(): void {
    const { what, clock, log, scope } = this.#parts;
    this.#held ??= { sinceMs: clock.now(), nextLookMs: firstLookMs, isWaiting: false, isReported: false };
    const held = this.#held;
    if (!held.isReported && clock.now() - held.sinceMs >= longHeldMs) {
      held.isReported = true;
      log("error", "a transaction that has been open for long keeps missed messages from being read", {
        what,
      });
    }
    if (held.isWaiting) return;
    held.isWaiting = true;
    scope.run(async (signal) => {
      await sleep(clock, held.nextLookMs, signal).catch(() => {});
      held.isWaiting = false;
      held.nextLookMs = Math.min(held.nextLookMs * 2, againAfterMs);
      if (!signal.aborted) this.pull();
    });
  }
}
