import type { Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";

/** What a message inherits from the one whose handler sends it. */
export interface Heritage {
  readonly hopCount: number;
  readonly correlationId?: string;
  readonly traceparent?: string;
}

/** A message, as far as what its handler sends inherits from it. */
export interface Cause {
  readonly id: string;
  readonly hop_count: number;
  readonly correlation_id?: string;
  readonly traceparent?: string;
}

export interface LoopGuardParts {
  /** What is sent in another tenant from a handler inherits nothing. */
  readonly tenantId: string;
  readonly clock: Clock;
  readonly maxHops: number;
  readonly messagesPerMinute: number;
}

interface Handling {
  readonly tenantId: string;
  readonly cause: Cause;
}

interface Storage {
  run<T>(store: Handling, task: () => T): T;
  getStore(): Handling | undefined;
}

const minuteMs = 60_000;
// One for the process: Node carries every storage that was ever used along with every promise, also those of hubs that are long closed.
const handling = newStorage();

/** Stops agents that answer each other for ever: knows in whose handler something is sent, and how much was sent this minute. */
export class LoopGuard {
  readonly #parts: LoopGuardParts;
  #minute = 0;
  #sent = 0;

  constructor(parts: LoopGuardParts) {
    this.#parts = parts;
  }

  /** Runs handlers of `message`: what they send, also later, inherits from it. */
  within<T>(message: Cause, run: () => T): T {
    const { tenantId } = this.#parts;
    return handling === undefined ? run() : handling.run({ tenantId, cause: message }, run);
  }

  /** Called for each message that is sent. Throws FederationError "loop" when it is one too many. */
  admit(what: string): Heritage {
    const { tenantId, clock, maxHops, messagesPerMinute } = this.#parts;
    const inHand = handling?.getStore();
    const cause = inHand?.tenantId === tenantId ? inHand.cause : undefined;
    const hopCount = cause === undefined ? 0 : cause.hop_count + 1;
    if (hopCount > maxHops)
      throw new FederationError(
        "loop",
        `${what}: ${hopCount} messages led to this one, each sent by the handler of the last; the limit is ${maxHops}`,
        { remedy: "End the exchange, or raise maxHops" },
      );
    const minute = Math.floor(clock.now() / minuteMs);
    if (minute !== this.#minute) [this.#minute, this.#sent] = [minute, 0];
    if (this.#sent >= messagesPerMinute)
      throw new FederationError(
        "loop",
        `${what}: this agent has sent ${this.#sent} messages this minute; the limit is ${messagesPerMinute}`,
        { remedy: "Send less, or raise messagesPerMinute" },
      );
    this.#sent++;
    if (cause === undefined) return { hopCount };
    const { traceparent } = cause;
    return {
      hopCount,
      correlationId: cause.correlation_id ?? cause.id,
      ...(traceparent === undefined ? {} : { traceparent }),
    };
  }
}

// Browsers have none: there each message begins a chain, and the budget alone guards.
function newStorage(): Storage | undefined {
  const process = globalThis.process as
    | { getBuiltinModule?: (name: "node:async_hooks") => unknown }
    | undefined;
  const hooks = process?.getBuiltinModule?.("node:async_hooks") as
    | { readonly AsyncLocalStorage: new () => Storage }
    | undefined;
  return hooks === undefined ? undefined : new hooks.AsyncLocalStorage();
}
