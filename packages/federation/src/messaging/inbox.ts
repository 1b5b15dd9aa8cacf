import { settledOrAborted, sleep, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import { Scope } from "../runtime/scope.ts";
import { CatchUp } from "./catch-up.ts";
import { Deliveries, type Counted, type DeliveriesParts, type Delivery } from "./deliveries.ts";
import { FeedPlace } from "./feed-place.ts";
import { Lanes } from "./lanes.ts";
import { Marks, type Mark } from "./marks.ts";
import { parseAnnounced, parseStoredMessage, type CoordinationMessage } from "./message.ts";
import { MissedMessages, type Missed } from "./missed-messages.ts";
import { readInbox } from "./read-inbox.ts";
import { SeenIds } from "./seen-ids.ts";

export interface InboxParts {
  readonly agentId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether it is this process that handles the messages to its agent; `pull()` when that begins. */
  readonly isMyTurn: () => boolean;
  /** Messages to this agent that are not handled, after a position, oldest first: `pull_inbox`. */
  readonly pull: (maxMessages: number, afterSeq: number) => Promise<unknown>;
  /** Whether this process wants the messages that another process of its agent has handled, too. */
  readonly isShared?: boolean;
  readonly mark: (ids: readonly string[], state: Mark) => Promise<unknown>;
  readonly limits: Pick<DeliveriesParts, "maxDeliveries" | "giveUpMs">;
  readonly count: DeliveriesParts["count"];
  readonly undo: DeliveriesParts["undo"];
  readonly fail: DeliveriesParts["fail"];
  /** Of a broadcast, after so many deliveries: `fail_broadcast`. */
  readonly giveUp: (id: string, error: string, attempts: number) => Promise<unknown>;
  /** A page of what was stored for everybody, or for this agent, behind a cursor: `pull_messages`. */
  readonly pullMissed: (box: "feed" | "inbox", cursor: string | null, maxRows?: number) => Promise<unknown>;
  readonly readOne: (id: string) => Promise<unknown>;
  /** How far this agent is on the feed: `feed_place`. */
  readonly keepPlace: (cursor: string | null) => Promise<unknown>;
  /** How many processes have begun to tell from there, this one included: `start_feed`. */
  readonly startFeed: () => Promise<unknown>;
  readonly random: () => number;
  /** Whether somebody in this process waits for this reply, who has it now. */
  readonly tookReply?: (message: CoordinationMessage) => boolean;
  readonly hasListener: (type: string) => boolean;
  readonly deliver: (message: CoordinationMessage) => Delivery;
}

// What nobody listens for is kept up to here; the rest stays in the database alone.
const mostHeld = 10_000;
const pageSize = 100;
const giveUpAgainMs = 2_000;

/**
 * Receives stored messages, each once in this process, whichever way it is heard of. A message to this agent that nobody listens for
 * is kept until somebody does; it counts as handled once its handlers have finished.
 */
export class Inbox {
  readonly #parts: InboxParts;
  readonly #scope: Scope;
  readonly #marks: Marks;
  readonly #deliveries: Deliveries;
  readonly #broadcastDeliveries: Deliveries;
  readonly #lanes = new Lanes();
  readonly #seen = new SeenIds();
  readonly #seenBroadcasts = new SeenIds();
  /** In order of arrival. Waiting for a listener, or for the hub to be ready. */
  #held: CoordinationMessage[] = [];
  /** Read, not heard: an earlier process may have died of it, so that its delivery is counted before its handler begins. */
  readonly #mayBeRepeated = new Set<string>();
  /** Broadcasts that this agent gave up and somebody took out of its dead letters: messages of its inbox from now on. */
  readonly #returned = new Set<string>();
  #isReleased = false;
  readonly #direct: CatchUp;
  readonly #feed: CatchUp;
  readonly #missedBroadcasts: MissedMessages;
  readonly #place: FeedPlace;
  #isBack = false;
  /** Where every process of the agent gets every message: those that another one has handled meanwhile. */
  readonly #missedDirect: MissedMessages | undefined;

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#marks = new Marks({ clock: parts.clock, log: parts.log, mark: parts.mark });
    this.#scope = new Scope((error) => parts.log("error", "an inbox task failed", { error }));
    const { clock, log } = parts;
    this.#deliveries = new Deliveries({
      ...parts.limits,
      clock,
      log,
      isMine: () => this.#isMine,
      count: parts.count,
      undo: parts.undo,
      fail: parts.fail,
      handled: (id) => this.#marks.add(id, "handled"),
      deliver: parts.deliver,
    });
    // Until a broadcast is handled or given up the place stays before it; so only the end is noted.
    this.#broadcastDeliveries = new Deliveries({
      ...parts.limits,
      clock,
      log,
      isMine: () => this.#isReleased,
      count: async () => [],
      undo: async () => {},
      fail: async (id, error, isDead, attempts) => void (isDead && (await this.#giveUp(id, error, attempts))),
      handled: () => {},
      deliver: parts.deliver,
    });
    this.#place = new FeedPlace({ clock, log, keep: parts.keepPlace, start: parts.startFeed });
    this.#missedBroadcasts = new MissedMessages({
      begin: async () => {
        const place = await this.#place.begin();
        this.#isBack = !place.isNew;
        return place;
      },
      pull: (cursor, maxRows) => parts.pullMissed("feed", cursor, maxRows),
      toldUntilMs: () => this.#seenBroadcasts.droppedMs,
    });
    if (parts.isShared === true)
      this.#missedDirect = new MissedMessages({
        pull: (cursor) => parts.pullMissed("inbox", cursor),
        toldUntilMs: () => this.#seen.droppedMs,
      });
    this.#direct = new CatchUp({
      what: "messages to this agent",
      clock,
      log,
      scope: this.#scope,
      read: (signal) => this.#readDirect(signal),
      admit: (messages, wasRead) => this.#admitDirect(messages, wasRead),
    });
    this.#feed = new CatchUp({
      what: "durable broadcasts",
      clock,
      log,
      scope: this.#scope,
      read: (signal) => this.#readFeed(signal),
      readOne: async (id) => parseStoredMessage(await parts.readOne(id)),
      onRead: (missed) => {
        const { cursor } = this.#missedBroadcasts;
        if (this.#isReleased) this.#scope.run((signal) => this.#place.wasRead(missed, cursor, signal));
      },
      admit: (messages) => this.#admitBroadcasts(messages),
    });
  }

  /** From now on broadcasts are this agent's concern; where an earlier process of it left off, what was said since is as well. */
  async begin(): Promise<void> {
    await Promise.all([this.#missedBroadcasts.begin(), this.#missedDirect?.begin()]);
  }

  /** A `message` event of the inbox. */
  heardDirect(payload: unknown): void {
    const messages = parseAnnounced(payload);
    // Whoever waits for a reply may be another process than the one that handles messages.
    const rest = messages?.filter((message) => this.#parts.tookReply?.(message) !== true);
    if (!this.#parts.isMyTurn()) return;
    if (rest === undefined) this.pull();
    else this.#direct.receive(rest.filter(({ to_agent }) => to_agent === this.#parts.agentId));
  }

  /** A `message` event of the feed. */
  heardBroadcast(payload: unknown): void {
    const messages = parseAnnounced(payload);
    if (messages === undefined) this.#feed.pull(isRecord(payload) ? stringField(payload, "id") : undefined);
    else this.#feed.receive(messages.filter(({ to_agent }) => to_agent === undefined));
  }

  /** Reads the messages to this agent that are not handled. */
  pull(): void {
    if (this.#parts.isMyTurn()) this.#direct.pull();
  }

  /** Reads the durable broadcasts that were missed. Those from before this process wait until it tells. */
  pullFeed(): void {
    if (this.#isReleased || !this.#isBack) this.#feed.pull();
  }

  /** Somebody wants to know how far everybody is; each says so at a moment of its own. */
  placeAsked(withinMs: number): void {
    const { clock, random } = this.#parts;
    this.#scope.run(async (signal) => {
      await sleep(clock, random() * withinMs, signal).catch(() => {});
      if (signal.aborted) return;
      this.#place.asked();
      this.pullFeed();
    });
  }

  /** Somebody took it who waited for it: it need not be delivered. */
  handled(id: string): void {
    this.#seen.add(id);
    this.#marks.add(id, "handled");
  }

  /** From now on messages are delivered; until now they were kept. */
  release(): void {
    this.#isReleased = true;
    this.retryHeld();
    if (this.#isBack) this.pullFeed();
  }

  /** Somebody listens who did not before. */
  retryHeld(): void {
    if (!this.#isReleased || this.#held.length === 0) return;
    const held = this.#held;
    this.#held = [];
    for (const message of held) {
      // Another process of this agent took over; should that end, it is read again.
      if (this.#isDirect(message) && !this.#parts.isMyTurn()) this.#seen.forget(message.id);
      else this.#deliver(message);
    }
  }

  get #isMine(): boolean {
    return this.#isReleased && this.#parts.isMyTurn();
  }

  get waiting(): number {
    return this.#held.length;
  }

  /** What has been handled is still told to the database. */
  async close(): Promise<void> {
    const wasReleased = this.#isReleased;
    this.#isReleased = false;
    await this.#scope.close(new FederationError("closed", "the inbox was closed"));
    const isTold = (id: string): boolean => this.#seenBroadcasts.has(id);
    if (wasReleased) await this.#place.close(this.#missedBroadcasts, isTold);
    await this.#marks.close();
  }

  async #readDirect(signal: AbortSignal): Promise<Missed> {
    const waiting = await readInbox((seq) => this.#parts.pull(pageSize, seq), signal);
    const others = await this.#missedDirect?.read(signal);
    return {
      messages: [...waiting, ...(others?.messages ?? [])],
      isHeldBack: others?.isHeldBack ?? false,
    };
  }

  async #readFeed(signal: AbortSignal): Promise<Missed> {
    if (this.#isBack) await this.#goOn(signal);
    this.#isBack = false;
    return await this.#missedBroadcasts.read(signal);
  }

  /**
   * Where an earlier process began to tell what was missed, and ended before it could say how far it came, something that it told may have
   * ended it: then one after the other, each counted before. What has been begun too often is given up.
   */
  async #goOn(signal: AbortSignal): Promise<void> {
    const missed = this.#missedBroadcasts;
    const { maxDeliveries } = this.#parts.limits;
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      const next = await missed.next();
      if (next === undefined) return;
      const { message, cursor } = next;
      const starts = await this.#place.start();
      if (isFirst && starts <= 1) return;
      const isForUs = message.from_agent !== this.#parts.agentId;
      if (isForUs && this.#seenBroadcasts.add(message.id, Date.parse(message.timestamp))) {
        const told = starts - 1;
        if (told < maxDeliveries) await settledOrAborted(this.#handleBroadcast(message), signal);
        else await this.#giveUp(message.id, `told ${told} times, and no handler came to its end`, told);
      }
      if (!this.#isReleased) return;
      await this.#place.moved(cursor);
      missed.passed(cursor);
    }
  }

  #admitDirect(messages: readonly CoordinationMessage[], wasRead: boolean): void {
    if (!this.#parts.isMyTurn()) return; // it went by while they were read
    for (const message of messages) {
      if (!this.#seen.add(message.id, Date.parse(message.timestamp))) continue;
      this.#marks.add(message.id, "delivered");
      if (wasRead) this.#mayBeRepeated.add(message.id);
      if (message.to_agent === undefined) this.#returned.add(message.id);
      if (this.#parts.tookReply?.(message) !== true) this.#deliver(message);
    }
  }

  #admitBroadcasts(messages: readonly CoordinationMessage[]): void {
    for (const message of messages) {
      // Nobody gets its own broadcasts back.
      const isOurs = message.to_agent === undefined && message.from_agent !== this.#parts.agentId;
      if (isOurs && this.#seenBroadcasts.add(message.id, Date.parse(message.timestamp)))
        this.#deliver(message);
    }
  }

  #hold(message: CoordinationMessage): void {
    this.#held.push(message);
    if (this.#held.length <= mostHeld) return;
    const oldest = this.#held.shift();
    if (oldest === undefined) return;
    this.#seen.forget(oldest.id); // so that it is delivered when it is read again
    this.#parts.log("error", "a message nobody listens for is kept in the database only", {
      id: oldest.id,
      type: oldest.type,
    });
  }

  #isDirect({ id, to_agent }: CoordinationMessage): boolean {
    return to_agent !== undefined || this.#returned.has(id);
  }

  #deliver(message: CoordinationMessage): void {
    const isDirect = this.#isDirect(message);
    if (!this.#isReleased || (isDirect && !this.#parts.hasListener(message.type))) {
      this.#hold(message);
      return;
    }
    if (isDirect) this.#lanes.run(message.from_agent, () => this.#handle(message));
    else this.#place.told(this.#handleBroadcast(message));
  }

  async #handleBroadcast(message: CoordinationMessage): Promise<void> {
    const { signal } = this.#scope;
    const isOpen = await this.#broadcastDeliveries.run(message, undefined, signal).catch(() => true);
    // It was closed meanwhile: the place stays before it, and the next process is told it again.
    if (isOpen && !this.#isReleased) this.#seenBroadcasts.forget(message.id);
  }

  /** A dead letter, from now on: until the database knows, the place on the feed stays before it. */
  async #giveUp(id: string, error: string, attempts: number): Promise<void> {
    const { clock, log, giveUp } = this.#parts;
    for (;;) {
      try {
        return void (await giveUp(id, error, attempts));
      } catch (failure) {
        log("debug", "a broadcast could not be given up", { id, error: failure });
        await sleep(clock, giveUpAgainMs, this.#scope.signal);
      }
    }
  }

  // One after the other for each sender; what was read is counted before, alone: what waits behind it is innocent of what it does. So
  // is what may have expired while it waited: the database knows the time.
  async #handle(message: CoordinationMessage): Promise<void> {
    const { id, type } = message;
    if (!this.#isMine) return this.#seen.forget(id);
    if (!this.#parts.hasListener(type)) return this.#hold(message);
    let counted: Counted | undefined;
    const mayBeOver =
      message.expires_at !== undefined && this.#parts.clock.now() >= Date.parse(message.expires_at);
    if (this.#mayBeRepeated.delete(id) || mayBeOver) {
      counted = await this.#deliveries.count([id]);
      // It was closed, or lost its turn, while it counted: another process may have begun.
      if (!this.#isMine) {
        this.#deliveries.undo(id, counted);
        return this.#seen.forget(id);
      }
    } else this.#marks.add(id, "begun");
    const isLeft = await this.#deliveries.run(message, counted, this.#scope.signal);
    if (isLeft) this.#seen.forget(id);
    this.#returned.delete(id);
  }
}
