import { joinReasons } from "../channel/texts.ts";
import type { RealtimeClock } from "../realtime.ts";
import type { LimitFigures } from "./plans.ts";
import { RateWindow } from "./rate-window.ts";

export interface JoinRefusal {
  readonly reason: string;
  /** The socket is closed too (1001). */
  readonly endsSocket: boolean;
}

/**
 * The limits of one project, counted over all of its sockets. Asking is cheap and waits for nothing; what follows from a
 * no is the asker's to do. Without limits there is no such object.
 */
export class ProjectLimits {
  readonly #figures: LimitFigures;
  readonly #clock: RealtimeClock;
  readonly #messages = new RateWindow();
  readonly #joins = new RateWindow();
  readonly #presence = new RateWindow();
  /** Sockets that asked to join something; one that never did counts for nothing. */
  readonly #seated = new Set<object>();

  constructor(figures: LimitFigures, clock: RealtimeClock) {
    this.#figures = figures;
    this.#clock = clock;
  }

  get isFull(): boolean {
    return this.#seated.size >= (this.#figures.connections ?? Infinity);
  }

  /** Counts a join of `socket`, which has joined `otherChannels` besides, and takes a seat for it. */
  refuseJoin(socket: object, otherChannels: number): JoinRefusal | undefined {
    if (!this.#seated.has(socket) && this.isFull)
      return { reason: joinReasons.tooManyUsers, endsSocket: false };
    const nowMs = this.#clock.now();
    this.#joins.add(1, nowMs);
    if (this.#joins.perSecond(nowMs) >= (this.#figures.joinsPerSecond ?? Infinity))
      return { reason: joinReasons.joinRate, endsSocket: true };
    if (this.hasTooManyChannels(otherChannels))
      return { reason: joinReasons.tooManyChannels, endsSocket: false };
    this.#seated.add(socket);
    return undefined;
  }

  hasTooManyChannels(otherChannels: number): boolean {
    return otherChannels >= (this.#figures.channelsPerConnection ?? Infinity);
  }

  /** The socket is gone. */
  free(socket: object): void {
    this.#seated.delete(socket);
  }

  /** One that was sent. A sender is never stopped: only those who receive are. */
  countSent(count = 1): void {
    this.#messages.add(count, this.#clock.now());
  }

  /** Counts one that was delivered; false where the channel it went to has to close. */
  countDelivered(): boolean {
    this.countSent();
    return !this.isOverMessages;
  }

  get isOverMessages(): boolean {
    const { messagesPerSecond = Infinity } = this.#figures;
    return this.#messages.perSecond(this.#clock.now()) >= messagesPerSecond;
  }

  /** Why a REST request with so many messages is refused. */
  refuseSend(count: number): string | undefined {
    const { messagesPerSecond = Infinity } = this.#figures;
    const left = messagesPerSecond - this.#messages.perSecond(this.#clock.now());
    if (left <= 0) return "You have exceeded your rate limit";
    return count > left ? "Too many messages to broadcast, please reduce the batch size" : undefined;
  }

  /** Counts an event; false where the channel that caused it has to close. */
  countPresence(): boolean {
    const nowMs = this.#clock.now();
    this.#presence.add(1, nowMs);
    return this.#presence.perSecond(nowMs) <= (this.#figures.presenceEventsPerSecond ?? Infinity);
  }
}
