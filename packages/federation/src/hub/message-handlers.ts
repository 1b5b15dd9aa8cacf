import type { Delivery } from "../messaging/deliveries.ts";
import type { LoopGuard } from "../messaging/loop-guard.ts";
import type { CoordinationMessage } from "../messaging/message.ts";
import { toReceived, type SendAnswer } from "../messaging/received.ts";
import { toError } from "../runtime/errors.ts";
import { both, nobody, type Emission, type Emitter } from "../runtime/emitter.ts";
import type { Tracing } from "../runtime/tracing.ts";
import type { HubEvents } from "./hub-events.ts";

export interface MessageHandlersParts {
  readonly emitter: Emitter<HubEvents>;
  readonly guard: LoopGuard;
  readonly tracing: Tracing;
  readonly answer: SendAnswer;
}

/** Hands messages to those who listen for them: in a span of their own, and so that what they send inherits from the message. */
export class MessageHandlers {
  readonly #parts: MessageHandlersParts;
  #received = 0;

  constructor(parts: MessageHandlersParts) {
    this.#parts = parts;
  }

  get received(): number {
    return this.#received;
  }

  has(type: string): boolean {
    const { emitter } = this.#parts;
    return emitter.listenerCount("message:received") + emitter.listenerCount(`message:${type}`) > 0;
  }

  deliver(sent: CoordinationMessage): Delivery {
    this.#received++;
    const { emitter, answer } = this.#parts;
    const { message, acknowledged } = toReceived(sent, answer);
    const first = (): Emission => {
      const any = emitter.emit("message:received", message);
      return both(
        any,
        message.type === "received" ? nobody : emitter.emit(`message:${message.type}`, message),
      );
    };
    if (!this.has(message.type)) return { ...nobody, acknowledged };
    return { ...this.#handle(message, first), acknowledged };
  }

  #handle(message: CoordinationMessage, call: () => Emission): Emission {
    const { guard, tracing } = this.#parts;
    let emission = nobody;
    const { id, from_agent, type, traceparent: parent } = message;
    const attributes = { "messaging.message.id": id, "agent.from": from_agent };
    tracing
      .span({ name: `handle ${type}`, kind: "consumer", parent, attributes }, async (traceparent) => {
        const cause = traceparent === undefined ? message : { ...message, traceparent };
        emission = guard.within(cause, call);
        const [failure] = await emission.finished;
        if (failure !== undefined) throw toError(failure);
      })
      .catch(() => {}); // those who listen for `error` have been told
    const { listeners, finished, again } = emission;
    return { listeners, finished, again: () => this.#handle(message, again) };
  }
}
