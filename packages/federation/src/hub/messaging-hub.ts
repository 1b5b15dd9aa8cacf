import type { SendOptions } from "../messaging/outbox.ts";
import type { ListMessagesOptions, WaitingOptions } from "../messaging/correspondence.ts";
import type { MessageReceipt, MessageState, StoredMessage } from "../messaging/receipt.ts";
import { isDatabaseOnly, requireType, toPayload, type CoordinationMessage } from "../messaging/message.ts";
import { requireId } from "../config/ids.ts";
import { FederationError } from "../runtime/errors.ts";
import { HubCore } from "./hub-core.ts";

export interface BroadcastOptions extends SendOptions {
  /**
   * Store it, so that it comes from the database: vouched for, announced to everybody, of any size; whoever is away gets it when it is
   * back. Default false.
   */
  readonly durable?: boolean;
  /**
   * With `durable`: resolve only when everybody who had a session when it was stored has handled it. How far each is says no more than
   * that, so `delivered` means the same.
   */
  readonly waitFor?: MessageState;
  /** Milliseconds to wait for that. Default 30000. */
  readonly timeoutMs?: number;
}

export interface SendMessageOptions extends SendOptions {
  /** Resolve only when the message got that far: `delivered`, a process of the recipient has it; `handled`, its handlers have finished. */
  readonly waitFor?: MessageState;
  /** Milliseconds to wait for that. Default 30000. */
  readonly timeoutMs?: number;
  /** Tell of each step by `message:receipt`. Default false. */
  readonly receipts?: boolean;
}

export interface RequestOptions extends WaitingOptions {
  /** Take up the request that an earlier process made under this id; with the same content, it is the same request. */
  readonly requestId?: string;
  readonly correlationId?: string;
  /** A W3C trace context. */
  readonly traceparent?: string;
}

/** A request for help, as stored. */
export type HelpAsked = CoordinationMessage & {
  /** What others answer, by `message.reply(offer)` or by a message with `replyTo`; ends when the time (default 30000 ms) is over. */
  offers(options?: WaitingOptions): AsyncGenerator<CoordinationMessage, void>;
};

/** What a hub says to others: broadcasts, messages, help, knowledge. */
export abstract class MessagingHub<Own extends object = object> extends HubCore<Own> {
  /**
   * Sends to everybody who is there now, over the socket; resolves when the server has taken it. With `{ durable: true }` it is stored and
   * announced by the database instead, as are all types that begin with `task_`, which receivers
   * believe from the database only, and what is larger than `maxBroadcastBytes`. Waits where the plan allows no more at the moment.
   */
  async broadcast(type: string, payload: unknown, options: BroadcastOptions = {}): Promise<void> {
    const live = this.ready();
    const { value, sizeBytes } = toPayload(payload, `broadcast ${type}`);
    requireType(type);
    const { waitFor = "stored", timeoutMs, durable, ...sending } = options;
    // What no frame may carry is a row, which the database announces by its id.
    if (durable === true || isDatabaseOnly(type) || !live.messaging.broadcasts.takes(type, sizeBytes)) {
      const { id } = await live.messaging.outbox.send({ to: null, type, payload: value, options: sending });
      if (waitFor !== "stored")
        await live.messaging.correspondence.waitFor(id, waitFor, waiting(timeoutMs, options));
    } else if (waitFor !== "stored")
      throw new FederationError("invalid_argument", `broadcast: nobody can know that it was ${waitFor}`, {
        remedy: "Pass { durable: true } as well",
      });
    else await this.#sendInRoom(type, value, sizeBytes, options.traceparent);
  }

  /**
   * Stores a message for one agent, which gets it now or when it is back. Resolves to the message as stored, or once it got as far as
   * `waitFor` says; rejects with FederationError "undelivered" when it became a dead letter, and with "timeout" when it took too long.
   */
  async sendMessage(
    to: string,
    type: string,
    payload: unknown,
    options: SendMessageOptions = {},
  ): Promise<CoordinationMessage> {
    const live = this.ready();
    if (to === undefined || to === null || to === "") {
      throw new FederationError("invalid_argument", "sendMessage: no recipient", {
        remedy: "Name an agent, or use broadcast() to reach everybody",
      });
    }
    requireId(to, "sendMessage recipient");
    const { value } = toPayload(payload, `message ${type}`);
    const { waitFor = "stored", timeoutMs, receipts = false, ...sending } = options;
    const sent = await live.messaging.outbox.send({
      to,
      type: requireType(type),
      payload: value,
      options: sending,
    });
    if (waitFor !== "stored")
      await live.messaging.correspondence.waitFor(sent.id, waitFor, waiting(timeoutMs, options));
    else if (receipts) await live.messaging.correspondence.askReceipts(sent.id);
    return sent;
  }

  /**
   * Sends a message and resolves to the reply that its handler gives by `message.reply(payload)`. The request is not delivered any more
   * once its time is over. Rejects with FederationError "timeout" then, and with the signal's reason.
   */
  async request(
    to: string,
    type: string,
    payload: unknown,
    options: RequestOptions = {},
  ): Promise<CoordinationMessage> {
    const { requestId, timeoutMs = 30_000, traceparent: parent, ...rest } = options;
    const expiresAt = new Date(this.options.clock.now() + timeoutMs).toISOString();
    const sending = { ...rest, ...(requestId === undefined ? {} : { id: requestId }), expiresAt };
    const attributes = { "agent.to": to };
    return this.options.tracing.span(
      { name: `request ${type}`, kind: "client", parent, attributes },
      async (traceparent) => {
        const traced = traceparent === undefined ? sending : { ...sending, traceparent };
        const { id } = await this.sendMessage(to, type, payload, traced);
        return this.ready().messaging.correspondence.reply(id, to, waiting(timeoutMs, options));
      },
    );
  }

  /** Asks everybody; stored, so that those who are busy hear of it too. Resolves once it is stored; `offers()` gives what is answered. */
  async requestHelp(problem: string, context: unknown = null, options: SendOptions = {}): Promise<HelpAsked> {
    const asked = await this.#tellAll("request_help", { problem, context, from: this.agentId }, options);
    const { correspondence } = this.ready().messaging;
    return Object.defineProperty(asked, "offers", {
      value: (waitingOptions?: WaitingOptions) => correspondence.answers(asked.id, waitingOptions),
    }) as HelpAsked; // has the method from now on
  }

  /** A message that this agent sent or may read, and how far it got; undefined when there is none. */
  async getMessage(id: string): Promise<StoredMessage | undefined> {
    return this.ready().messaging.correspondence.get(id);
  }

  /** Messages that this agent sent or may read, newest first, a page at a time: the next one is `before` the last `seq`. */
  async listMessages(options: ListMessagesOptions = {}): Promise<StoredMessage[]> {
    return this.ready().messaging.correspondence.list(options);
  }

  /** Takes a message out of this agent's dead letters: it is delivered again. Resolves to whether it was one. */
  async requeueMessage(id: string): Promise<boolean> {
    return (await this.ready().connection.call("requeue_message", { id })) === true;
  }

  /** Resolves to how far a message of this agent has got, once it got as far as `state`. Rejects as `sendMessage` does. */
  async waitForMessage(
    id: string,
    state: MessageState,
    options: WaitingOptions = {},
  ): Promise<MessageReceipt> {
    return this.ready().messaging.correspondence.waitFor(id, state, options);
  }

  /** Shares a finding with everybody; stored. The metadata's own keys arrive beside the three, never over them. */
  async shareKnowledge(
    knowledge: unknown,
    metadata: Readonly<Record<string, unknown>> = {},
    options: SendOptions = {},
  ): Promise<CoordinationMessage> {
    return this.#tellAll(
      "share_knowledge",
      { ...metadata, knowledge, metadata, from: this.agentId },
      options,
    );
  }

  async #sendInRoom(
    type: string,
    payload: unknown,
    sizeBytes: number,
    parent: string | undefined,
  ): Promise<void> {
    const { guard, broadcasts } = this.ready().messaging;
    const { hopCount, traceparent: inherited } = guard.admit(`broadcast ${type}`);
    const attributes = { "agent.to": "everybody" };
    await this.options.tracing.span(
      { name: `broadcast ${type}`, kind: "producer", parent, inherited, attributes },
      (traceparent) => broadcasts.send(type, payload, sizeBytes, { hopCount, traceparent }),
    );
  }

  async #tellAll(type: string, payload: unknown, options: SendOptions): Promise<CoordinationMessage> {
    const live = this.ready();
    return live.messaging.outbox.send({ to: null, type, payload: toPayload(payload, type).value, options });
  }
}

function waiting(
  timeoutMs: number | undefined,
  { signal }: { readonly signal?: AbortSignal },
): WaitingOptions {
  return { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal === undefined ? {} : { signal }) };
}
