import { sleep, type Clock } from "../runtime/clock.ts";
import type { Emission } from "../runtime/emitter.ts";
import { isRecord, numberField, storable, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import type { CoordinationMessage } from "./message.ts";

/** One delivery to the listeners of this process. */
export interface Delivery extends Emission {
  /** Undefined unless a listener acknowledges by itself; then it resolves when that has happened. */
  readonly acknowledged?: () => Promise<void> | undefined;
}

export interface DeliveriesParts {
  readonly clock: Clock;
  readonly log: Log;
  /** After how many deliveries, or after how many milliseconds of trying, a message is given up. */
  readonly maxDeliveries: number;
  readonly giveUpMs: number;
  /** Whether the message is still this process's to handle. */
  readonly isMine: () => boolean;
  /** Counts a delivery in the database: answers deliver_messages. */
  readonly count: (ids: readonly string[]) => Promise<unknown>;
  /** Takes back what was counted and did not take place: `undo_deliveries`. */
  readonly undo: (ids: readonly string[]) => Promise<unknown>;
  /** A delivery, one of so many by now, failed; `dead`: it was the last. */
  readonly fail: (id: string, error: string, dead: boolean, attempts: number) => Promise<unknown>;
  readonly handled: (id: string) => void;
  readonly deliver: (message: CoordinationMessage) => Delivery;
}

/** What the database knows of deliveries, by message id. */
export type Counted = ReadonlyMap<string, { readonly attempt: number; readonly isDead: boolean }>;

const firstPauseMs = 100;

/** Delivers a message until its handlers finish, or it has to be given up. */
export class Deliveries {
  readonly #parts: DeliveriesParts;

  constructor(parts: DeliveriesParts) {
    this.#parts = parts;
  }

  /** Counts a delivery of each. A database that does not answer holds up nothing: then nothing is known. */
  async count(ids: readonly string[]): Promise<Counted> {
    const { count, log } = this.#parts;
    try {
      const rows = await count(ids);
      const known = (Array.isArray(rows) ? rows : []).flatMap((row: unknown) => {
        const id = isRecord(row) ? stringField(row, "id") : undefined;
        if (!isRecord(row) || id === undefined) return [];
        return [
          [id, { attempt: numberField(row, "delivery_attempt") ?? 1, isDead: row["dead"] === true }] as const,
        ];
      });
      return new Map(known);
    } catch (error) {
      log("debug", "deliveries could not be counted", { count: ids.length, error });
      return new Map();
    }
  }

  /** A delivery that was counted does not take place: another process of the agent handles its messages by now, or the next one will. */
  undo(id: string, counted: Counted): void {
    const { undo, log } = this.#parts;
    if (counted.get(id)?.isDead !== false) return;
    undo([id]).catch((error: unknown) => log("debug", "a delivery could not be taken back", { id, error }));
  }

  /** Resolves when it is over; to true when it was not handled, so that it may come again: from the dead letters, or to another process. */
  async run(
    message: CoordinationMessage,
    counted: Counted | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock, maxDeliveries, giveUpMs, isMine, deliver, handled } = this.#parts;
    const { id } = message;
    const startMs = clock.now();
    let known = counted?.get(id);
    let attempt = known?.attempt ?? (message.delivery_attempt ?? 0) + 1;
    const given = { ...message, delivery_attempt: attempt };
    let delivery: Delivery | undefined;
    for (let pauseMs = firstPauseMs; ; pauseMs *= 2) {
      if (known?.isDead === true) return true;
      given.delivery_attempt = attempt; // of the one object that the listeners have
      delivery = delivery === undefined ? deliver(given) : { ...delivery, ...delivery.again() };
      const errors = await delivery.finished;
      const acknowledged = delivery.acknowledged?.();
      if (errors.length === 0) {
        if (acknowledged === undefined) handled(id);
        else void acknowledged.then(() => handled(id));
        return false;
      }
      const isOver = attempt >= maxDeliveries || clock.now() - startMs + pauseMs > giveUpMs;
      await this.#fail(id, errors[0], isOver, attempt);
      if (isOver) return true;
      await sleep(clock, pauseMs, signal);
      if (!isMine()) return true;
      const again = await this.count([id]);
      if (!isMine()) {
        this.undo(id, again);
        return true;
      }
      known = again.get(id);
      attempt = known?.attempt ?? attempt + 1;
    }
  }

  async #fail(id: string, error: unknown, isOver: boolean, attempt: number): Promise<void> {
    const { fail, log } = this.#parts;
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    await fail(id, storable(text), isOver, attempt).catch((failure: unknown) =>
      log("debug", "a failed delivery could not be noted", { id, error: failure }),
    );
  }
}
