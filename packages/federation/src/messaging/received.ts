import { isFederationError } from "../runtime/errors.ts";
import { toPayload, type CoordinationMessage, type ReceivedMessage } from "./message.ts";
import { replyType, type Correspondence } from "./correspondence.ts";
import type { Outbox } from "./outbox.ts";

/** The message with what a listener can do about it; the methods are no part of what it prints or compares as. */
export function toReceived(
  message: CoordinationMessage,
  reply: (to: CoordinationMessage, payload: unknown) => Promise<CoordinationMessage>,
): ReceivedMessage {
  return Object.defineProperty(message, "reply", {
    value: (payload: unknown) => reply(message, payload),
    configurable: true,
  }) as ReceivedMessage; // has the method from now on
}

/** Answers a message. The id follows from the message's: a handler that runs again after a crash gives no second answer. */
export async function sendReply(
  { outbox, correspondence }: { readonly outbox: Outbox; readonly correspondence: Correspondence },
  to: CoordinationMessage,
  payload: unknown,
  agentId: string,
): Promise<CoordinationMessage> {
  const id = `re:${agentId}:${to.id}`;
  try {
    return await outbox.send({
      to: to.from_agent,
      type: replyType,
      payload: toPayload(payload).value,
      options: {
        id,
        replyTo: to.id,
        correlationId: to.correlation_id ?? to.id,
        ...(to.traceparent === undefined ? {} : { traceparent: to.traceparent }),
      },
    });
  } catch (error) {
    const first = isFederationError(error, "conflict") ? await correspondence.get(id) : undefined;
    if (first?.from_agent === agentId) return first;
    throw error;
  }
}
