import type { Clock } from "../runtime/clock.ts";
import { FederationError, toError } from "../runtime/errors.ts";
import { newId } from "../runtime/ids.ts";
import { noTracing, type Tracing } from "../runtime/tracing.ts";
import type { Heritage } from "./loop-guard.ts";
import { parseStoredMessage, type CoordinationMessage } from "./message.ts";

/** What goes with a message beside its content. */
export interface SendOptions {
  /** An id of your own: the same message sent again under it is the same message. 1 to 255 bytes. */
  readonly id?: string;
  /** The message that this one answers. */
  readonly replyTo?: string;
  readonly correlationId?: string;
  /** A W3C trace context. */
  readonly traceparent?: string;
  /** ISO 8601; from then on it is not delivered any more. */
  readonly expiresAt?: string;
  /** Gives up waiting. The message may have been stored all the same. */
  readonly signal?: AbortSignal;
}

export interface Outgoing {
  /** Null: to everybody. */
  readonly to: string | null;
  readonly type: string;
  readonly payload: unknown;
  readonly options: SendOptions;
}

export interface OutboxParts {
  /** Asked at the call, before anything waits. Throws where no more may be sent. */
  readonly admit?: (what: string) => Heritage;
  readonly tracing?: Tracing;
  readonly clock: Clock;
  readonly instanceId: string;
  readonly call: (
    name: string,
    args: Readonly<Record<string, unknown>>,
    options: { signal?: AbortSignal },
  ) => Promise<unknown>;
}

/**
 * Sends what is stored. Messages to one recipient go one after the other, so that they are stored in the order of the calls; their id
 * and number are made before the first try, so that a retry is not a second message.
 */
export class Outbox {
  readonly #parts: OutboxParts;
  readonly #tails = new Map<string, Promise<unknown>>();
  #lastSeq = 0;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
  }

  /** Resolves to the message as stored. */
  send(message: Outgoing): Promise<CoordinationMessage> {
    let heritage: Heritage;
    try {
      heritage = this.#parts.admit?.(`message ${message.type}`) ?? { hopCount: 0 };
    } catch (error) {
      return Promise.reject(toError(error));
    }
    const id = message.options.id ?? newId();
    const senderSeq = this.#nextSeq();
    const key = message.to ?? "";
    const { tracing = noTracing } = this.#parts;
    const { to, type, options } = message;
    return tracing.span(
      {
        name: `send ${type}`,
        kind: "producer",
        parent: options.traceparent,
        inherited: heritage.traceparent,
        attributes: { "messaging.message.id": id, "agent.to": to ?? "everybody" },
      },
      (traceparent) =>
        this.#after(key, () => this.#store(id, senderSeq, message, { ...heritage, traceparent })),
    );
  }

  /** Resolves when everything that was under way has ended, one way or the other. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#tails.values());
  }

  async #store(
    id: string,
    senderSeq: number,
    { to, type, payload, options }: Outgoing,
    heritage: Omit<Heritage, "traceparent"> & { readonly traceparent: string | undefined },
  ): Promise<CoordinationMessage> {
    const { replyTo, correlationId, expiresAt, signal } = options;
    const args = {
      id,
      to_agent: to,
      type,
      payload,
      reply_to: replyTo ?? null,
      correlation_id: correlationId ?? heritage.correlationId ?? null,
      hop_count: heritage.hopCount,
      sender_seq: senderSeq,
      instance_id: this.#parts.instanceId,
      traceparent: heritage.traceparent ?? null,
      expires_at: expiresAt ?? null,
    };
    const stored = parseStoredMessage(
      await this.#parts.call("send_message", args, signal === undefined ? {} : { signal }),
    );
    if (stored === undefined)
      throw new FederationError("protocol", "send_message: the answer is not a message");
    return stored;
  }

  #after<T>(key: string, run: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = before.then(run, run);
    const tail = result.catch(() => {}); // the caller gets the failure; the next message goes on
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return result;
  }

  // Microseconds since 1970 or one more than the last: it also grows from one process of an agent to the next.
  #nextSeq(): number {
    this.#lastSeq = Math.max(this.#lastSeq + 1, this.#parts.clock.now() * 1000);
    return this.#lastSeq;
  }
}
