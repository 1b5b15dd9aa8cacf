import type { ResolvedHubOptions } from "../config/hub-options.ts";
import type { Connection } from "../connection/connection.ts";
import type { DependableChannel } from "../connection/dependable-channel.ts";
import { Correspondence } from "../messaging/correspondence.ts";
import { Inbox } from "../messaging/inbox.ts";
import { InboxTurn } from "../messaging/inbox-turn.ts";
import { LoopGuard } from "../messaging/loop-guard.ts";
import { MemoryFeed } from "../messaging/memory-feed.ts";
import { Outbox } from "../messaging/outbox.ts";
import { sendReply, toReceiptMessage } from "../messaging/received.ts";
import { RoomBroadcasts } from "../messaging/room-broadcasts.ts";
import type { Emitter } from "../runtime/emitter.ts";
import type { ChannelHearers } from "./channel-plans.ts";
import type { HubEvents } from "./hub-events.ts";
import { MessageHandlers } from "./message-handlers.ts";

export interface LiveMessagingParts {
  readonly options: ResolvedHubOptions;
  readonly connection: Connection;
  readonly emitter: Emitter<HubEvents>;
  /** Undefined where the server has no limit. */
  readonly planMessagesPerSecond: number | undefined;
  readonly hubsOnline: () => number;
  readonly room: () => DependableChannel;
  readonly onError: (error: Error, during: string) => void;
}

/** What of a hub has to do with messages and memories while it runs: what is sent, what is heard, and who gets it. */
export class LiveMessaging {
  readonly guard: LoopGuard;
  readonly handlers: MessageHandlers;
  readonly outbox: Outbox;
  readonly broadcasts: RoomBroadcasts;
  readonly inbox: Inbox;
  readonly turn: InboxTurn;
  readonly correspondence: Correspondence;
  readonly memories: MemoryFeed;
  readonly #parts: LiveMessagingParts;
  #positions = { inbox: 0, feed: 0 };
  #rose = { inbox: false, feed: false };

  constructor(parts: LiveMessagingParts) {
    const { options, connection, emitter } = parts;
    this.#parts = parts;
    this.guard = new LoopGuard(options);
    this.handlers = new MessageHandlers({
      emitter,
      guard: this.guard,
      tracing: options.tracing,
      answer: (to, payload) => sendReply(this, to, payload, options.agentId),
    });
    this.outbox = new Outbox({
      tracing: options.tracing,
      admit: (what) => this.guard.admit(what),
      clock: options.clock,
      instanceId: options.instanceId,
      call: (name, args, callOptions) => connection.call(name, args, callOptions),
    });
    this.broadcasts = this.#makeBroadcasts(options);
    this.turn = this.#makeTurn(options);
    this.inbox = this.#makeInbox(options);
    this.correspondence = this.#makeCorrespondence(options);
    this.memories = this.#makeMemories(options);
  }

  /** Who hears what the channels carry. */
  get hearers(): Pick<
    ChannelHearers,
    "inbox" | "correspondence" | "turn" | "memories" | "announced" | "heardInRoom"
  > {
    const { inbox, correspondence, turn, memories } = this;
    return {
      inbox,
      correspondence,
      turn,
      memories: this.#parts.options.memorySync ? memories : undefined,
      announced: () => this.broadcasts.announced(),
      heardInRoom: (message) => void this.handlers.deliver(message),
    };
  }

  /** The newest messages to this agent and to everybody, as the heartbeat's answer names them. */
  position({ inbox, feed }: { readonly inbox: number; readonly feed: number }): void {
    this.turn.beat();
    // An announcement can be lost on a channel that looks joined: the heartbeat's answer says whether anything was.
    // What commits late lies below the newest position, so a beat later it is read once more.
    const rose = { inbox: inbox > this.#positions.inbox, feed: feed > this.#positions.feed };
    if (rose.inbox || this.#rose.inbox) this.inbox.pull();
    if (rose.feed || this.#rose.feed) this.inbox.pullFeed();
    this.#rose = rose;
    if (this.#parts.options.memorySync) this.memories.position(feed);
    this.#positions = { inbox, feed };
  }

  /** Whoever waits for a reply or a receipt waits no more. */
  stopWaiting(): void {
    this.correspondence.close();
  }

  /** One after the other. */
  closing(): readonly { readonly what: string; readonly close: () => Promise<void> }[] {
    const { broadcasts, outbox, turn, inbox, memories } = this;
    return [
      { what: "broadcasts", close: () => broadcasts.close() },
      { what: "outbox", close: () => outbox.settled() },
      { what: "turn", close: () => turn.close() },
      { what: "inbox", close: () => inbox.close() },
      { what: "memories", close: () => memories.close() },
    ];
  }

  #makeBroadcasts(options: ResolvedHubOptions): RoomBroadcasts {
    const { connection, planMessagesPerSecond, hubsOnline, room, onError } = this.#parts;
    return new RoomBroadcasts({
      agentId: options.agentId,
      clock: options.clock,
      timeoutMs: options.requestTimeoutMs,
      maxBytes: options.maxBroadcastBytes,
      latency: options.broadcastLatency,
      planMessagesPerSecond,
      hubsOnline,
      onDropped: (error) => onError(error, "broadcast"),
      whenJoined: (timeoutMs) => room().whenJoined(timeoutMs),
      canSend: (channel) => room().joined === channel && connection.isSocketOpen,
    });
  }

  #makeTurn({ clock, log, deliverTo, sessionId, sessionTimeoutSeconds }: ResolvedHubOptions): InboxTurn {
    return new InboxTurn({
      isShared: deliverTo === "all",
      clock,
      log,
      validMs: sessionTimeoutSeconds * 1000,
      take: (asked) => this.#parts.connection.call("take_inbox", { session_id: sessionId, asked }),
      onMine: () => this.inbox.pull(),
    });
  }

  #makeInbox(options: ResolvedHubOptions): Inbox {
    const { maxDeliveries } = options;
    const count = (ids: readonly string[]): Promise<unknown> =>
      this.#parts.connection.call("deliver_messages", { ids, max_deliveries: maxDeliveries });
    return new Inbox({
      agentId: options.agentId,
      clock: options.clock,
      log: options.log,
      isMyTurn: () => this.turn.isMine,
      pull: (maxMessages, afterSeq) =>
        this.#parts.connection.call("pull_inbox", { max_messages: maxMessages, after_seq: afterSeq }),
      isShared: options.deliverTo === "all",
      pullMissed: (box, cursor, maxRows) =>
        this.#parts.connection.call("pull_messages", {
          box,
          cursor,
          ...(maxRows === undefined ? {} : { max_rows: maxRows }),
        }),
      startFeed: () => this.#parts.connection.call("start_feed", {}, { retry: false }),
      keepPlace: (cursor) => this.#parts.connection.call("feed_place", { cursor }),
      random: options.random,
      readOne: (id) => this.#parts.connection.call("get_message", { id }),
      mark: (ids, state) =>
        state === "begun" ? count(ids) : this.#parts.connection.call("mark_messages", { ids, state }),
      limits: { maxDeliveries, giveUpMs: options.giveUpAfterMs },
      count,
      undo: (ids) => this.#parts.connection.call("undo_deliveries", { ids }),
      fail: (id, error, dead) => this.#parts.connection.call("fail_message", { id, error, dead }),
      giveUp: (id, error, attempts) => this.#parts.connection.call("fail_broadcast", { id, error, attempts }),
      tookReply: (message) => this.correspondence.tookReply(message),
      hasListener: (type) => this.handlers.has(type),
      deliver: (message) => this.handlers.deliver(message),
    });
  }

  #makeCorrespondence({ agentId, clock }: ResolvedHubOptions): Correspondence {
    return new Correspondence({
      agentId,
      clock,
      call: (name, args) => this.#parts.connection.call(name, args),
      handled: (id) => this.inbox.handled(id),
      tellReceipt: (receipt) =>
        this.#parts.emitter.emit("message:receipt", toReceiptMessage(receipt, agentId, clock.now())),
    });
  }

  #makeMemories(options: ResolvedHubOptions): MemoryFeed {
    const { emitter, onError } = this.#parts;
    return new MemoryFeed({
      agentId: options.agentId,
      tenantId: options.tenantId,
      clock: options.clock,
      log: options.log,
      readMemory: (id) => this.#parts.connection.call("get_memory", { id }),
      pullMemories: (cursor) => this.#parts.connection.call("pull_memories", { cursor }),
      keepPlace: (cursor) => this.#parts.connection.call("memory_place", { cursor }),
      tell: (event) => {
        if (event.type === "memory_added") emitter.emit("memory:added", event);
        else if (event.type === "memory_updated") emitter.emit("memory:updated", event);
        else emitter.emit("memory:deleted", event);
      },
      onError: (error) => onError(error, "reading a memory"),
    });
  }
}
