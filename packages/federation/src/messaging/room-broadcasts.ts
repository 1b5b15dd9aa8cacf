import type { RealtimeChannel } from "@supabase/supabase-js";
import { withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError, toFederationError } from "../runtime/errors.ts";
import { newId } from "../runtime/ids.ts";
import { fullBucket, refilled, spent, type Bucket, type Quota } from "../runtime/token-bucket.ts";
import { fitting, frameCost, nextStep, quotaOf, type Step } from "./broadcast-pace.ts";
import { broadcastEvent, type BroadcastFrame } from "./message.ts";

export interface RoomBroadcastsParts {
  readonly agentId: string;
  readonly clock: Clock;
  /** For a broadcast, waiting and sending together. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** `high` collects for a moment and sends many in one frame; `low` does so only when it may not send at once. */
  readonly latency: "low" | "high";
  /** Messages a second of the plan; undefined where there is no limit. */
  readonly planMessagesPerSecond: number | undefined;
  /** How many processes share the plan and get each frame, this one among them. */
  readonly hubsOnline: () => number;
  /** The joined room; rejects when it is not joined in time. */
  readonly whenJoined: (timeoutMs: number) => Promise<RealtimeChannel>;
  /** Whether a send goes over the socket at this moment. */
  readonly canSend: (channel: RealtimeChannel) => boolean;
  /** Broadcasts that nobody will get. Their sends have been rejected with the same. */
  readonly onDropped: (error: FederationError) => void;
}

export interface Sending {
  readonly hopCount?: number;
  readonly traceparent?: string | undefined;
}

type FrameMessage = BroadcastFrame["messages"][number];

interface Waiting {
  readonly message: FrameMessage;
  readonly sizeBytes: number;
  readonly sinceMs: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What may wait; whoever awaits its sends never gets there. */
export const mostWaiting = 10_000;
const mostWaitingBytes = 16_000_000;
const frameBytes = '{"messages":[]}'.length;
const mostTraceparentBytes = 255;
const drainMs = 2_500;
// Refusals are told of together: they come by the thousand.
const tellRefusedMs = 1_000;

/**
 * Sends over the socket, to whoever is there. Each send resolves when the server has taken it, and never goes another way. No more
 * frames are sent than the plan allows; what must wait goes with the next one, in order.
 */
export class RoomBroadcasts {
  readonly #parts: RoomBroadcastsParts;
  readonly #waiting: Waiting[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #waitingBytes = 0;
  #bucket: Bucket = fullBucket;
  #cancelLook: (() => void) | undefined;
  #refused = 0;
  #cancelTelling: (() => void) | undefined;
  #isClosing = false;
  #drained: (() => void) | undefined;

  constructor(parts: RoomBroadcastsParts) {
    this.#parts = parts;
  }

  send(
    type: string,
    payload: unknown,
    payloadBytes: number,
    { hopCount = 0, traceparent }: Sending = {},
  ): Promise<void> {
    const { agentId, clock, maxBytes } = this.#parts;
    const sinceMs = clock.now();
    const message: FrameMessage = {
      id: newId(),
      from_agent: agentId,
      type,
      payload,
      timestamp: new Date(sinceMs).toISOString(),
      ...(hopCount === 0 ? {} : { hop_count: hopCount }),
      ...(traceparent === undefined ? {} : { traceparent }),
    };
    const sizeBytes = payloadBytes + envelopeBytes(message);
    if (sizeBytes > maxBytes - frameBytes) return Promise.reject(tooLarge(type, payloadBytes, this.#parts));
    if (this.#isClosing)
      return Promise.reject(new FederationError("closed", `broadcast ${type}: the hub is closing`));
    if (this.#waiting.length >= mostWaiting || this.#waitingBytes + sizeBytes > mostWaitingBytes)
      return Promise.reject(this.#refuse());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, sizeBytes, sinceMs, resolve, reject });
      this.#waitingBytes += sizeBytes;
      this.#look();
    });
  }

  /** Whether one with such a payload goes over the socket at all. */
  takes(type: string, payloadBytes: number): boolean {
    const { agentId, maxBytes } = this.#parts;
    const timestamp = new Date(0).toISOString();
    const message = {
      id: newId(),
      from_agent: agentId,
      type,
      payload: null,
      timestamp,
      hop_count: 1_000_000,
      traceparent: "x".repeat(mostTraceparentBytes),
    };
    return payloadBytes + envelopeBytes(message) <= maxBytes - frameBytes;
  }

  /**
   * The database announced something to this process: it counts for the plan like a broadcast that got here. All processes count theirs,
   * so that together they know of all of it. However much that is, broadcasts wait for no more than it takes to earn two bursts.
   */
  announced(): void {
    const quota = this.#quota();
    if (quota === undefined) return;
    this.#bucket = spent(refilled(this.#bucket, quota, this.#parts.clock.now()), 1, quota.burst);
  }

  #quota(): Quota | undefined {
    const { planMessagesPerSecond, hubsOnline } = this.#parts;
    return planMessagesPerSecond === undefined ? undefined : quotaOf(planMessagesPerSecond, hubsOnline());
  }

  /** Sends what waits, as fast as the plan allows, and gives up the rest. */
  async close(): Promise<void> {
    const { clock } = this.#parts;
    this.#isClosing = true;
    const drained = new Promise<void>((resolve) => (this.#drained = resolve));
    this.#look();
    const cancel = clock.after(drainMs, () => this.#drained?.());
    await drained;
    cancel();
    this.#cancelLook?.();
    const closed = (what: string): FederationError =>
      new FederationError(
        "closed",
        `broadcast ${what}: the hub was closed before the plan allowed to send it`,
        {
          remedy:
            "Await your broadcasts before shutdown(), or raise planMessagesPerSecond to what the plan allows",
        },
      );
    if (this.#waiting.length > 0) this.#drop(this.#take(this.#waiting.length), closed);
    this.#tellRefused();
    await Promise.all(this.#underWay);
  }

  /** Does what there is to do now, and comes back when there is more. */
  #look(): void {
    const { clock, maxBytes, timeoutMs } = this.#parts;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    this.#giveUpOld();
    for (;;) {
      const step = this.#next();
      if (step.name === "send") {
        this.#sendFrame(this.#take(fitting(this.#waiting, maxBytes - frameBytes)));
        continue;
      }
      const [oldest] = this.#waiting;
      if (oldest === undefined) this.#drained?.();
      else {
        const untilGivenUpMs = Math.max(0, oldest.sinceMs + timeoutMs / 2 - clock.now());
        const ms = step.name === "wait" ? Math.min(step.ms, untilGivenUpMs) : untilGivenUpMs;
        this.#cancelLook = clock.after(ms, () => this.#look());
      }
      return;
    }
  }

  #next(): Step {
    const { clock, latency, maxBytes, hubsOnline } = this.#parts;
    const nowMs = clock.now();
    const quota = this.#quota();
    const cost = frameCost(hubsOnline());
    if (quota !== undefined) this.#bucket = refilled(this.#bucket, quota, nowMs);
    const step = nextStep(
      {
        latency,
        oldestMs: this.#waiting[0]?.sinceMs,
        fillsFrame: this.#waitingBytes > maxBytes - frameBytes,
        framesUnderWay: this.#underWay.size,
        isClosing: this.#isClosing,
        quota,
        bucket: this.#bucket,
        cost,
      },
      nowMs,
    );
    if (step.name === "send" && quota !== undefined) this.#bucket = spent(this.#bucket, cost, Infinity);
    return step;
  }

  #take(count: number): readonly Waiting[] {
    const taken = this.#waiting.splice(0, count);
    for (const { sizeBytes } of taken) this.#waitingBytes -= sizeBytes;
    return taken;
  }

  // Half of the time is for waiting, so that what is sent has time to be acknowledged.
  #giveUpOld(): void {
    const { clock, timeoutMs, planMessagesPerSecond, hubsOnline } = this.#parts;
    const untilMs = clock.now() - timeoutMs / 2;
    const young = this.#waiting.findIndex(({ sinceMs }) => sinceMs > untilMs);
    const count = young === -1 ? this.#waiting.length : young;
    if (count === 0) return;
    const limit =
      planMessagesPerSecond === undefined
        ? "the server acknowledges too slowly"
        : `${planMessagesPerSecond} messages a second among ${hubsOnline()} hubs allow no more`;
    this.#drop(
      this.#take(count),
      (what) =>
        new FederationError("busy", `broadcast ${what}: not sent within ${timeoutMs / 2} ms; ${limit}`, {
          remedy: "Broadcast less, or raise planMessagesPerSecond to what the plan allows",
        }),
    );
  }

  #sendFrame(batch: readonly Waiting[]): void {
    const [oldest] = batch;
    if (oldest === undefined) return;
    const { clock, timeoutMs } = this.#parts;
    const leftMs = Math.max(1, oldest.sinceMs + timeoutMs - clock.now());
    const messages = batch.map(({ message }) => message);
    const sent = this.#transmit(nameOf(batch), messages, leftMs)
      .then(
        () => batch.forEach(({ resolve }) => resolve()),
        (error: unknown) =>
          this.#drop(batch, (what) => toFederationError(error, "server", `broadcast ${what}`)),
      )
      .finally(() => {
        this.#underWay.delete(sent);
        this.#look();
      });
    this.#underWay.add(sent);
  }

  async #transmit(what: string, messages: readonly FrameMessage[], leftMs: number): Promise<void> {
    const { clock, timeoutMs } = this.#parts;
    const startedMs = clock.now();
    const channel = await this.#parts.whenJoined(leftMs);
    const ms = Math.max(1, leftMs - (clock.now() - startedMs));
    const error = (): FederationError =>
      new FederationError("timeout", `broadcast ${what}: no acknowledgement within ${timeoutMs} ms`, {
        remedy: "It was refused or lost; use { durable: true } for what must arrive",
      });
    const frame: BroadcastFrame = { messages };
    // Of a channel that is not joined supabase-js would make an HTTP request instead, past the order and the acknowledgement.
    if (!this.#parts.canSend(channel))
      throw new FederationError("unreachable", `broadcast ${what}: the room was lost just now`, {
        remedy: "Send it again, or use { durable: true } for what must arrive",
      });
    const send = (): Promise<string> =>
      channel.send({ type: "broadcast", event: broadcastEvent, payload: frame }, { timeout: ms });
    const answer = await withDeadline(send, { clock, ms: ms + 500, error });
    if (answer === "ok") return;
    if (answer === "timed out") throw error();
    throw new FederationError("forbidden", `broadcast ${what}: the server refused it (${answer})`);
  }

  #drop(batch: readonly Waiting[], error: (what: string) => FederationError): void {
    const reason = error(nameOf(batch));
    for (const { reject } of batch) reject(reason);
    this.#parts.onDropped(reason);
  }

  #refuse(): FederationError {
    this.#refused++;
    this.#cancelTelling ??= this.#parts.clock.after(tellRefusedMs, () => this.#tellRefused());
    return queueFull("1 message");
  }

  #tellRefused(): void {
    this.#cancelTelling?.();
    this.#cancelTelling = undefined;
    if (this.#refused === 0) return;
    this.#parts.onDropped(queueFull(countOf(this.#refused)));
    this.#refused = 0;
  }
}

function nameOf(batch: readonly Waiting[]): string {
  const [first] = batch;
  return batch.length === 1 && first !== undefined ? first.message.type : countOf(batch.length);
}

function countOf(messages: number): string {
  return messages === 1 ? "1 message" : `${messages} messages`;
}

function queueFull(what: string): FederationError {
  return new FederationError(
    "busy",
    `broadcast ${what}: ${mostWaiting} messages or ${mostWaitingBytes} bytes wait already`,
    { remedy: "Await hub.broadcast(), which takes as long as the plan needs" },
  );
}

function tooLarge(type: string, sizeBytes: number, { maxBytes }: RoomBroadcastsParts): FederationError {
  return new FederationError(
    "too_large",
    `broadcast ${type}: ${sizeBytes} bytes and its envelope, over the limit of ${maxBytes}`,
    {
      remedy:
        "Send it with { durable: true }, which stores it, or raise maxBroadcastBytes to what the plan allows",
    },
  );
}

/** What a message adds to its payload, with the comma to the next. */
function envelopeBytes(message: FrameMessage): number {
  return new TextEncoder().encode(JSON.stringify({ ...message, payload: 0 })).length;
}
