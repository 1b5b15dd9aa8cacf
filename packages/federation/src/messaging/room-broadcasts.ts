import type { RealtimeChannel } from "@supabase/supabase-js";
import { withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { newId } from "../runtime/ids.ts";
import { broadcastEvent, type BroadcastFrame } from "./message.ts";

export interface RoomBroadcastsParts {
  readonly agentId: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** `high` collects for a moment and sends many in one frame. */
  readonly latency: "low" | "high";
  /** The joined room; rejects when it is not joined in time. */
  readonly whenJoined: (timeoutMs: number) => Promise<RealtimeChannel>;
  /** Whether a send goes over the socket at this moment. */
  readonly canSend: (channel: RealtimeChannel) => boolean;
}

type FrameMessage = BroadcastFrame["messages"][number];

interface Waiting {
  readonly message: FrameMessage;
  readonly sizeBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const collectMs = 100;
const mostPerFrame = 200;
// What the envelope of a message adds to its payload, generously.
const envelopeBytes = 512;

/** Sends over the socket, to whoever is there. Each send resolves when the server has taken it, and never goes another way. */
export class RoomBroadcasts {
  readonly #parts: RoomBroadcastsParts;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #cancel: (() => void) | undefined;

  constructor(parts: RoomBroadcastsParts) {
    this.#parts = parts;
  }

  async send(type: string, payload: unknown, sizeBytes: number, hopCount = 0): Promise<void> {
    const { agentId, clock, latency, maxBytes } = this.#parts;
    const size = sizeBytes + envelopeBytes;
    if (size > maxBytes) {
      throw new FederationError(
        "too_large",
        `broadcast ${type}: ${sizeBytes} bytes, over the limit of ${maxBytes - envelopeBytes}`,
        {
          remedy:
            "Send it with { durable: true }, which stores it, or raise maxBroadcastBytes to what the plan allows",
        },
      );
    }
    const timestamp = new Date(clock.now()).toISOString();
    const message: FrameMessage = {
      id: newId(),
      from_agent: agentId,
      type,
      payload,
      timestamp,
      ...(hopCount === 0 ? {} : { hop_count: hopCount }),
    };
    if (latency === "low") return this.#sendFrame(type, [message]);
    if (this.#waitingBytes + size > maxBytes || this.#waiting.length >= mostPerFrame) void this.#flush();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, sizeBytes: size, resolve, reject });
      this.#waitingBytes += size;
      this.#cancel ??= clock.after(collectMs, () => void this.#flush());
    });
  }

  /** Sends what is collected, now. */
  async close(): Promise<void> {
    await this.#flush();
  }

  #flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    const batch = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (batch.length === 0) return Promise.resolve();
    const what = `${batch.length} messages`;
    return this.#sendFrame(
      what,
      batch.map(({ message }) => message),
    ).then(
      () => batch.forEach(({ resolve }) => resolve()),
      (error: unknown) => batch.forEach(({ reject }) => reject(error)),
    );
  }

  async #sendFrame(what: string, messages: readonly FrameMessage[]): Promise<void> {
    const { clock, timeoutMs } = this.#parts;
    const startedMs = clock.now();
    const channel = await this.#parts.whenJoined(timeoutMs);
    const ms = Math.max(1, timeoutMs - (clock.now() - startedMs));
    const error = (): FederationError =>
      new FederationError("timeout", `broadcast ${what}: no acknowledgement within ${timeoutMs} ms`, {
        remedy: "It was refused or lost; use { durable: true } for what must arrive",
      });
    const frame: BroadcastFrame = { messages };
    // Of a channel that is not joined supabase-js would make an HTTP request instead, past the order and the acknowledgement.
    if (!this.#parts.canSend(channel))
      throw new FederationError("unreachable", `broadcast ${what}: the room was lost just now`);
    const send = (): Promise<string> =>
      channel.send({ type: "broadcast", event: broadcastEvent, payload: frame }, { timeout: ms });
    const answer = await withDeadline(send, { clock, ms: ms + 500, error });
    if (answer === "ok") return;
    if (answer === "timed out") throw error();
    throw new FederationError("forbidden", `broadcast ${what}: the server refused it (${answer})`);
  }
}
