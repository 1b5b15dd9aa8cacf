import type { Access } from "../config/access.ts";
import type { ResolvedHubOptions } from "../config/hub-options.ts";
import type { ChannelState } from "../connection/channel-state.ts";
import { openConnection, type Connection } from "../connection/connection.ts";
import { DependableChannel, type ChannelPlan } from "../connection/dependable-channel.ts";
import { checkSchema } from "../connection/schema-check.ts";
import { presenceKey } from "../presence/agent-presence.ts";
import { Presence } from "../presence/presence.ts";
import type { RosterChange } from "../presence/roster.ts";
import { Session } from "../presence/session.ts";
import { withDeadline } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import type { Emitter } from "../runtime/emitter.ts";
import {
  feedPlan,
  inboxPlan,
  roomPlan,
  type ChannelBehaviour,
  type ChannelHearers,
} from "./channel-plans.ts";
import type { HubEvents } from "./hub-events.ts";
import { LiveMessaging } from "./live-messaging.ts";
import { LiveTasks } from "./live-tasks.ts";

export interface LiveHubParts {
  readonly options: ResolvedHubOptions;
  readonly emitter: Emitter<HubEvents>;
  readonly onChannels: (states: readonly ChannelState[]) => void;
  readonly onError: (error: Error, during: string) => void;
  /** Another process of this agent took over: the hub has to go. */
  readonly onReplaced: (error: FederationError) => void;
}

// Closing waits for what is under way, and not longer than this for each part of it, nor for all of them.
const closeStepMs = 3_000;
const closeAllMs = 5_000;

/**
 * Everything of a hub that runs: one connection with three channels, and what speaks and listens on them. The room carries presence and
 * socket broadcasts; feed and inbox are written by the database alone, so only what they say is believed.
 */
export class LiveHub {
  readonly connection: Connection;
  readonly presence: Presence;
  readonly session: Session;
  readonly messaging: LiveMessaging;
  readonly tasks: LiveTasks;
  readonly channels: readonly DependableChannel[];
  readonly #parts: LiveHubParts;
  readonly #room: DependableChannel;
  readonly #feed: DependableChannel;
  #ownProcesses = 0;
  #closing: Promise<void> | undefined;
  #isUsable = false;

  /** Resolves when joined and usable; leaves nothing behind when it rejects. `step` hears what is being done. */
  static async open(
    parts: LiveHubParts,
    signal: AbortSignal,
    step: (name: string) => void,
  ): Promise<LiveHub> {
    const { options } = parts;
    const access = options.access();
    step("getting an access token");
    const connection = await openConnection({
      access,
      actor: { tenantId: options.tenantId, agentId: options.agentId },
      requestTimeoutMs: options.requestTimeoutMs,
      socketHeartbeatMs: options.socketHeartbeatMs,
      fetch: options.fetch,
      clock: options.clock,
      random: options.random,
      log: options.log,
    });
    const live = new LiveHub(parts, connection, access);
    signal.addEventListener("abort", () => void live.close(), { once: true }); // ends what still waits for an answer
    try {
      step("asking for the schema version");
      const begun = live.messaging.inbox.begin();
      begun.catch(() => {}); // whatever it is, the schema check says it better
      await checkSchema(connection, access, options.fetch ?? fetch, signal);
      await begun;
      await live.#join(signal, step);
      return live;
    } catch (error) {
      await live.close();
      throw error;
    }
  }

  private constructor(parts: LiveHubParts, connection: Connection, access: Access) {
    const { options } = parts;
    this.#parts = parts;
    this.connection = connection;
    this.presence = this.#makePresence(options, access);
    this.session = this.#makeSession(options);
    this.messaging = new LiveMessaging({
      options,
      connection,
      emitter: parts.emitter,
      planMessagesPerSecond: options.planMessagesPerSecond(access.url),
      hubsOnline: () => this.presence.roster.instances,
      room: () => this.#room,
      onError: parts.onError,
    });
    this.tasks = new LiveTasks({
      options,
      emitter: parts.emitter,
      call: (name, args) => connection.call(name, args),
      agents: () => this.presence.roster.agents().length,
      onError: (error, during) => parts.onError(error, during),
    });
    const hearers: ChannelHearers = {
      agentId: options.agentId,
      sessionId: options.sessionId,
      presence: this.presence,
      tasks: this.tasks,
      ...this.messaging.hearers,
    };
    const topic = `federation:${options.tenantId}`;
    this.#room = this.#makeChannel(
      topic,
      { presence: { key: presenceKey(options.agentId), enabled: true }, ack: true },
      roomPlan(hearers),
    );
    this.#feed = this.#makeChannel(`${topic}:feed`, { replicationReady: true }, feedPlan(hearers));
    const inbox = this.#makeChannel(
      `${topic}:agent:${options.agentId}`,
      { replicationReady: true },
      inboxPlan(hearers),
    );
    this.channels = [this.#room, this.#feed, inbox];
  }

  /** Tells who is here, oneself last. Until then nobody hears of the roster: whoever hears of an agent wants to speak to it at once. */
  usable(): void {
    this.#isUsable = true;
    for (const { agentId, presences } of this.presence.roster.members()) {
      this.#parts.emitter.emit("agent:join", { agent_id: agentId, presences });
    }
    this.#tellSync();
  }

  /** Everything stops; the session is closed. Never rejects: what could not be said any more is logged. Twice returns the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { log, clock } = this.#parts.options;
    const untilMs = clock.now() + closeAllMs;
    const quietly = async (what: string, work: Promise<unknown>): Promise<void> => {
      const ms = Math.max(0, Math.min(closeStepMs, untilMs - clock.now()));
      const error = (): Error => new FederationError("timeout", `closing: ${what} took more than ${ms} ms`);
      const bounded = withDeadline(() => work, { clock, ms, error });
      await bounded.catch((failure: unknown) =>
        log("debug", "a step of closing failed", { what, error: failure }),
      );
    };
    this.messaging.stopWaiting();
    await quietly("tasks", this.tasks.close());
    for (const { what, close } of this.messaging.closing()) await quietly(what, close());
    await quietly("session", this.session.close(closeStepMs));
    await quietly("presence", this.presence.close());
    await Promise.all(this.channels.map((channel) => quietly(channel.topic, channel.close())));
    await quietly("connection", this.connection.close());
  }

  async #join(signal: AbortSignal, step: (name: string) => void): Promise<void> {
    const { initializeTimeoutMs } = this.#parts.options;
    step("opening the session");
    await this.session.open();
    step("joining the channels");
    for (const channel of this.channels) channel.open();
    const joined = this.channels.map((channel) => channel.whenJoined(initializeTimeoutMs, signal));
    await Promise.all([
      ...joined,
      this.#feed.whenJoined(initializeTimeoutMs, signal).then(() => this.presence.start()),
    ]);
    step("waiting for the presence state");
    await this.presence.whenVisible(signal);
    this.session.keepAlive();
  }

  #tellChanges(changes: readonly RosterChange[]): void {
    const own = changes.find(({ agentId }) => agentId === this.#parts.options.agentId);
    if (own !== undefined) {
      if (own.presences.length < this.#ownProcesses) this.messaging.turn.ask(); // the one that had it may be gone
      this.#ownProcesses = own.presences.length;
    }
    this.tasks.rosterChanged(changes);
    if (!this.#isUsable) return;
    const { emitter } = this.#parts;
    for (const { type, agentId, presences, reason } of changes) {
      const event = { agent_id: agentId, presences };
      if (type === "leave") emitter.emit("agent:leave", { ...event, reason: reason ?? "gone" });
      else emitter.emit(type === "join" ? "agent:join" : "agent:update", event);
    }
    this.#tellSync();
  }

  #tellSync(): void {
    const { emitter } = this.#parts;
    if (this.#isUsable && emitter.listenerCount("agents:sync") > 0)
      emitter.emit("agents:sync", { agents: this.presence.roster.agents() });
  }

  #makePresence(options: ResolvedHubOptions, { url }: Access): Presence {
    const { agentId, tenantId, instanceId, rosterThreshold, capabilities, metadata } = options;
    return new Presence(
      {
        agentId,
        tenantId,
        instanceId,
        rosterThreshold,
        capabilities,
        metadata,
        graceMs: options.presenceGraceMs,
        relistMs: options.heartbeatMs,
        planPresencePerSecond: options.planPresencePerSecond(url),
      },
      {
        clock: options.clock,
        random: options.random,
        log: options.log,
        isRoomJoined: () => this.#room.joined !== undefined,
        listSessions: () => this.connection.callForRows("list_sessions"),
        onOwnSession: (endReason) => {
          this.session.wasTold();
          if (endReason === "replaced") this.session.replaced();
        },
        onChanges: (changes) => this.#tellChanges(changes),
        onSync: () => this.#tellSync(),
      },
    );
  }

  #makeSession(options: ResolvedHubOptions): Session {
    return new Session(
      {
        sessionId: options.sessionId,
        instanceId: options.instanceId,
        heartbeatMs: options.heartbeatMs,
        timeoutSeconds: options.sessionTimeoutSeconds,
        capabilities: options.capabilities,
        metadata: options.metadata,
        exclusive: options.exclusive,
      },
      {
        clock: options.clock,
        random: options.random,
        log: options.log,
        call: (name, args, callOptions) => this.connection.call(name, args, callOptions),
        status: () => this.presence.status,
        onReopened: () => {
          this.presence.showAgain();
          this.messaging.turn.doubt();
        },
        onReplaced: (error) => this.#parts.onReplaced(error),
        onPositions: ({ inbox, feed, roster, queue }) => {
          this.presence.position(roster);
          this.tasks.position(queue);
          this.messaging.position({ inbox, feed });
        },
        onTrouble: (error) => this.#parts.onError(error, "heartbeat"),
      },
    );
  }

  #makeChannel(topic: string, wants: ChannelWants, behaviour: ChannelBehaviour): DependableChannel {
    const { clock, random, log, initializeTimeoutMs } = this.#parts.options;
    const { presence, ack = false, replicationReady = false } = wants;
    const plan: ChannelPlan = {
      ...behaviour,
      topic,
      config: {
        private: true,
        broadcast: { self: false, ack, ...(replicationReady ? { replication_ready: true } : {}) },
        ...(presence === undefined ? {} : { presence }),
      },
      onState: (state) => {
        if (state.name === "refused") this.#parts.onError(state.cause, `joining ${topic}`);
        this.tasks.connected(this.#room.joined !== undefined);
        this.#parts.onChannels(this.channels.map((channel) => channel.state));
      },
    };
    return new DependableChannel(plan, {
      host: this.connection,
      clock,
      random,
      log,
      joinTimeoutMs: Math.min(10_000, initializeTimeoutMs),
    });
  }
}

interface ChannelWants {
  readonly presence?: { readonly key: string; readonly enabled: boolean };
  readonly ack?: boolean;
  readonly replicationReady?: boolean;
}
