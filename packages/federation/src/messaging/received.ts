import { FederationError, isFederationError } from "../runtime/errors.ts";
import { toPayload, type CoordinationMessage, type ReceivedMessage } from "./message.ts";
import { replyType, type Correspondence } from "./correspondence.ts";
import type { MessageReceipt } from "./receipt.ts";
import type { Outbox } from "./outbox.ts";

const manual = new WeakSet<object>();

/** Of a message that a listener has in hand: it will acknowledge it itself. */
export function acknowledgesItself(message: object): void {
  manual.add(message);
}

export type SendAnswer = (to: CoordinationMessage, payload: unknown) => Promise<CoordinationMessage>;

export interface Received {
  readonly message: ReceivedMessage;
  /** Undefined unless a listener acknowledges by itself; then it resolves when that has happened. */
  readonly acknowledged: () => Promise<void> | undefined;
}

/** The message with what a listener can do about it; the methods are no part of what it prints or compares as. */
export function toReceived(sent: CoordinationMessage, reply: SendAnswer): Received {
  let ack = (): void => {};
  const acked = new Promise<void>((resolve) => (ack = resolve));
  const message = Object.defineProperties(sent, {
    reply: { value: (payload: unknown) => reply(sent, payload) },
    ack: { value: () => ack() },
  }) as ReceivedMessage; // has the methods from now on
  return { message, acknowledged: () => (manual.has(message) ? acked : undefined) };
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
      payload: toPayload(payload, "the reply").value,
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

/** A receipt as the message that listeners of `message:receipt` get. */
export function toReceiptMessage(
  receipt: MessageReceipt,
  agentId: string,
  nowMs: number,
): ReceivedMessage<"receipt", MessageReceipt> {
  const reply = (): Promise<CoordinationMessage> =>
    Promise.reject(
      new FederationError("invalid_state", "a receipt is not answered", {
        remedy: "Send a message to who gave it",
      }),
    );
  return {
    id: `receipt:${receipt.id}`,
    from_agent: receipt.to_agent ?? agentId,
    to_agent: agentId,
    type: "receipt",
    payload: receipt,
    timestamp: new Date(nowMs).toISOString(),
    verified: true,
    reply_to: receipt.id,
    hop_count: 0,
    reply,
    ack: () => {},
  };
}
