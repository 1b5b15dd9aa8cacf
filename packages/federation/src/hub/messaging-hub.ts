import type { SendOptions } from "../messaging/outbox.ts";
import { isDatabaseOnly, requireType, toPayload, type CoordinationMessage } from "../messaging/message.ts";
import { requireId } from "../config/ids.ts";
import { FederationError } from "../runtime/errors.ts";
import { HubCore } from "./hub-core.ts";

export interface BroadcastOptions extends SendOptions {
  /** Store it, so that it comes from the database: vouched for, announced to everybody, of any size. Default false. */
  readonly durable?: boolean;
}

/** What a hub says to others: broadcasts, messages, help, knowledge. */
export abstract class MessagingHub<Own extends object = object> extends HubCore<Own> {
  /**
   * Sends to everybody who is there now, over the socket; resolves when the server has taken it. With `{ durable: true }` it is stored and
   * announced by the database instead, as are all types that begin with `task_`: receivers believe those from the database only.
   */
  async broadcast(type: string, payload: unknown, options: BroadcastOptions = {}): Promise<void> {
    const live = this.ready();
    const { value, sizeBytes } = toPayload(payload);
    requireType(type);
    if (options.durable === true || isDatabaseOnly(type))
      await live.outbox.send({ to: null, type, payload: value, options });
    else await live.broadcasts.send(type, value, sizeBytes);
  }

  /** Stores a message for one agent, which gets it now or when it is back. Resolves to the message as stored. */
  async sendMessage(
    to: string,
    type: string,
    payload: unknown,
    options: SendOptions = {},
  ): Promise<CoordinationMessage> {
    const live = this.ready();
    if (to === undefined || to === null || to === "") {
      throw new FederationError("invalid_argument", "sendMessage: no recipient", {
        remedy: "Name an agent, or use broadcast() to reach everybody",
      });
    }
    requireId(to, "sendMessage recipient");
    const { value } = toPayload(payload);
    return live.outbox.send({ to, type: requireType(type), payload: value, options });
  }

  /** Asks everybody; stored, so that those who are busy hear of it too. */
  async requestHelp(
    problem: string,
    context: unknown = null,
    options: SendOptions = {},
  ): Promise<CoordinationMessage> {
    return this.#tellAll("request_help", { problem, context, from: this.agentId }, options);
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

  async #tellAll(type: string, payload: unknown, options: SendOptions): Promise<CoordinationMessage> {
    const live = this.ready();
    return live.outbox.send({ to: null, type, payload: toPayload(payload).value, options });
  }
}
