import { isBrowser, readEnvironment } from "./config/environment.ts";
import {
  resolveHubOptions,
  type HubOptions,
  type RealtimeConfig,
  type ResolvedHubOptions,
} from "./config/hub-options.ts";
import { requireId } from "./config/ids.ts";
import type { HubEvents } from "./hub-events.ts";
import { hubStateOf, isSameState, type HubState } from "./hub-state.ts";
import { LiveHub, type LiveHubParts } from "./live-hub.ts";
import { isDatabaseOnly, requireType, toPayload, type CoordinationMessage } from "./messaging/message.ts";
import type { SendOptions } from "./messaging/outbox.ts";
import type { AgentPresence, AgentStatus } from "./presence/agent-presence.ts";
import { sleep, withDeadline } from "./runtime/clock.ts";
import { Emitter, type Listener, type ListenOptions } from "./runtime/emitter.ts";
import { FederationError, toError, toFederationError } from "./runtime/errors.ts";
import { checkTask, parseTask, type FederationTask, type TaskAssignment } from "./tasks/task.ts";

export interface HubListenOptions extends ListenOptions {
  /** Of `agent:join`: set to false to hear only of those who come from now on. Default true. */
  readonly replay?: boolean;
}

export interface BroadcastOptions extends SendOptions {
  /** Store it, so that it comes from the database: vouched for, announced to everybody, of any size. Default false. */
  readonly durable?: boolean;
}

export interface HubStats {
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly instance_id: string;
  readonly session_id: string;
  readonly state: HubState["name"];
  readonly active_agents: number;
  readonly agents: readonly AgentPresence[];
  /** The topics that are joined. */
  readonly channels: readonly string[];
  readonly heartbeat_interval: number;
  readonly memory_sync: boolean;
  readonly broadcast_latency: "low" | "high";
  /** Where the list of agents comes from at the moment. */
  readonly roster: "presence" | "sessions";
  readonly messages_received: number;
  /** Direct messages that nobody has listened for yet. */
  readonly messages_waiting: number;
  readonly timestamp: string;
}

const cleanUpMs = 5_000;

/**
 * A hub for `agentId` in `tenantId`, not connected yet: call `initialize()`. What the options leave out comes from the environment.
 * Throws FederationError "invalid_argument" on a bad id or option.
 */
export function createRealtimeHub<Own extends object = object>(
  agentId: string,
  tenantId = "default",
  options: HubOptions = {},
): RealtimeFederationHub<Own> {
  return new RealtimeFederationHub<Own>(options, agentId, tenantId);
}

/**
 * One agent's place in its tenant: who else is here, messages, tasks, and news of memories. Use it once: `initialize()`, then anything
 * else, then `shutdown()`. `Own` adds message types to those of FederationMessageTypes.
 */
export class RealtimeFederationHub<Own extends object = object> {
  readonly agentId: string;
  readonly tenantId: string;
  /** Resolves when the hub is closed, to the reason or, after `shutdown()`, to undefined. Never rejects. */
  readonly closed: Promise<FederationError | undefined>;
  readonly #options: ResolvedHubOptions;
  readonly #emitter: Emitter<HubEvents>;
  readonly #stop = new AbortController();
  #resolveClosed: (cause: FederationError | undefined) => void = () => {};
  #state: HubState = { name: "idle" };
  #live: LiveHub | undefined;
  #initializing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(config: RealtimeConfig | HubOptions, agentId: string, tenantId = "default") {
    const surroundings = { environment: readEnvironment(), inBrowser: isBrowser() };
    this.#options = resolveHubOptions({ agentId, tenantId }, config, surroundings);
    this.agentId = agentId;
    this.tenantId = tenantId;
    this.#emitter = new Emitter((error, event) => this.#tellError(toError(error), `a listener of ${event}`));
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    if (config.signal?.aborted === true) void this.shutdown();
    else config.signal?.addEventListener("abort", () => void this.shutdown(), { once: true });
  }

  get state(): HubState {
    return this.#state;
  }

  /**
   * Resolves when joined and usable. Rejects with FederationError within `initializeTimeoutMs`, having cleaned up after itself: on a wrong
   * URL or key, a refused token, a missing migration. Calling it twice returns the same promise; a hub that failed stays closed.
   */
  initialize(): Promise<void> {
    this.#initializing ??= this.#initialize();
    return this.#initializing;
  }

  /** Leaves, closes the session, and resolves when nothing of the hub runs any more. Twice returns the same promise. Never rejects. */
  shutdown(): Promise<void> {
    this.#closing ??= this.#shutdown(undefined);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /**
   * Calls `listener` for each event, until the returned function is called or the signal aborts. One that throws or rejects is reported
   * on `error` and ends nothing. A listener of `agent:join` is called at once for everybody who is there already, oneself last.
   */
  on<K extends keyof HubEvents<Own>>(
    event: K,
    listener: Listener<HubEvents<Own>[K]>,
    options: HubListenOptions = {},
  ): () => void {
    const [name, heard] = asCommon(event, listener);
    const remove = this.#emitter.on(name, heard, options);
    if (name === "agent:join" && options.replay !== false && options.signal?.aborted !== true) {
      for (const { agentId, presences } of this.#live?.presence.roster.members() ?? []) {
        this.#emitter.tell(name, heard, { agent_id: agentId, presences });
      }
    }
    this.#listensNow(name);
    return remove;
  }

  /** Like `on`, for one event, and without a replay. */
  once<K extends keyof HubEvents<Own>>(
    event: K,
    listener: Listener<HubEvents<Own>[K]>,
    options: ListenOptions = {},
  ): () => void {
    const [name, heard] = asCommon(event, listener);
    const remove = this.#emitter.once(name, heard, options);
    this.#listensNow(name);
    return remove;
  }

  off<K extends keyof HubEvents<Own>>(event: K, listener: Listener<HubEvents<Own>[K]>): void {
    this.#emitter.off(...asCommon(event, listener));
  }

  /** Everybody in the tenant, oneself last; for an agent with several processes the newest one. */
  getActiveAgents(): AgentPresence[] {
    return this.#live?.presence.roster.agents() ?? [];
  }

  async getStats(): Promise<HubStats> {
    const { options, agents } = { options: this.#options, agents: this.getActiveAgents() };
    const live = this.#live;
    return {
      tenant_id: this.tenantId,
      agent_id: this.agentId,
      instance_id: options.instanceId,
      session_id: options.sessionId,
      state: this.#state.name,
      active_agents: agents.length,
      agents,
      channels: (live?.channels ?? [])
        .filter((channel) => channel.joined !== undefined)
        .map((channel) => channel.topic),
      heartbeat_interval: options.heartbeatMs,
      memory_sync: options.memorySync,
      broadcast_latency: options.broadcastLatency,
      roster: live?.presence.mode ?? "presence",
      messages_received: live?.received ?? 0,
      messages_waiting: live?.inbox.waiting ?? 0,
      timestamp: new Date(options.clock.now()).toISOString(),
    };
  }

  /** Says what this agent is doing: in its session, in presence, and as a `status_update` to everybody. */
  async updateStatus(status: AgentStatus, task?: string): Promise<void> {
    const live = this.#ready();
    if (typeof status !== "string" || status === "" || status.length > 64) {
      throw new FederationError("invalid_argument", "updateStatus: expected a status of 1 to 64 characters");
    }
    await live.session.update(status, task);
    live.presence.setStatus(status, task);
    await this.broadcast("status_update", {
      agent_id: this.agentId,
      status,
      ...(task === undefined ? {} : { task }),
    });
  }

  /**
   * Sends to everybody who is there now, over the socket; resolves when the server has taken it. With `{ durable: true }` it is stored and
   * announced by the database instead, as are all types that begin with `task_`: receivers believe those from the database only.
   */
  async broadcast(type: string, payload: unknown, options: BroadcastOptions = {}): Promise<void> {
    const live = this.#ready();
    const { value, sizeBytes } = toPayload(payload);
    requireType(type);
    if (options.durable === true || isDatabaseOnly(type))
      await live.outbox.send({ to: null, type, payload: value, options });
    else await live.broadcasts.send(type, value, sizeBytes);
  }

  /** Stores a message for one agent, which gets it now or when it is back. Resolves to the message as stored. */
  async sendMessage(
    to: string,
    type: string,
    payload: unknown,
    options: SendOptions = {},
  ): Promise<CoordinationMessage> {
    const live = this.#ready();
    if (to === undefined || to === null || to === "") {
      throw new FederationError("invalid_argument", "sendMessage: no recipient", {
        remedy: "Name an agent, or use broadcast() to reach everybody",
      });
    }
    requireId(to, "sendMessage recipient");
    const { value } = toPayload(payload);
    return live.outbox.send({ to, type: requireType(type), payload: value, options });
  }

  /** Stores a task and tells the agent it is for. The same task again changes nothing. Resolves to the task as stored. */
  async assignTask(task: TaskAssignment): Promise<FederationTask> {
    const live = this.#ready();
    return parseTask(await live.connection.call("assign_task", { task: checkTask(task) }));
  }

  /** Ends a task that was assigned to this agent, and tells whoever assigned it. Resolves to the task as stored. */
  async reportTaskComplete(taskId: string, result: unknown): Promise<FederationTask> {
    const live = this.#ready();
    const { value } = toPayload(result);
    return parseTask(await live.connection.call("complete_task", { task_id: taskId, result: value }));
  }

  /** Asks everybody; stored, so that those who are busy hear of it too. */
  async requestHelp(
    problem: string,
    context: unknown = null,
    options: SendOptions = {},
  ): Promise<CoordinationMessage> {
    return this.#tellAll("request_help", { problem, context, from: this.agentId }, options);
  }

  /** Shares a finding with everybody; stored. The metadata's own keys arrive beside the three, never over them. */
  async shareKnowledge(
    knowledge: unknown,
    metadata: Readonly<Record<string, unknown>> = {},
    options: SendOptions = {},
  ): Promise<CoordinationMessage> {
    return this.#tellAll(
      "share_knowledge",
      { ...metadata, knowledge, metadata, from: this.agentId },
      options,
    );
  }

  async #tellAll(type: string, payload: unknown, options: SendOptions): Promise<CoordinationMessage> {
    const live = this.#ready();
    return live.outbox.send({ to: null, type, payload: toPayload(payload).value, options });
  }

  async #initialize(): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError();
    this.#become({ name: "connecting" });
    const { clock, initializeTimeoutMs: ms } = this.#options;
    let doing = "starting";
    const error = (): FederationError =>
      new FederationError("timeout", `initialize: not usable within ${ms} ms; was ${doing}`, {
        remedy: "Look at the URL and the network, or raise initializeTimeoutMs",
      });
    let opening: Promise<LiveHub> | undefined;
    const open = (signal: AbortSignal): Promise<LiveHub> => {
      opening = LiveHub.open(this.#parts(), signal, (step) => (doing = step));
      return opening;
    };
    try {
      this.#live = await withDeadline(open, { clock, ms, signal: this.#stop.signal, error });
    } catch (thrown) {
      // Whatever opens after all is closed again; a token source that hangs is not waited for.
      const cleanUp = opening?.then((live) => live.close()).catch(() => {});
      await Promise.race([cleanUp, sleep(clock, cleanUpMs)]);
      const cause = toFederationError(thrown, "server", "initialize");
      this.#closing ??= this.#shutdown(cause);
      throw cause;
    }
    this.#become(hubStateOf(this.#live.channels.map((channel) => channel.state)));
    this.#live.usable();
    // After the code behind `await hub.initialize()` has added its listeners.
    clock.after(0, () => this.#live?.inbox.release());
  }

  async #shutdown(cause: FederationError | undefined): Promise<void> {
    this.#stop.abort(this.#closedError());
    await this.#initializing?.catch(() => {});
    await this.#live?.close();
    this.#live = undefined; // nobody is here any more, as far as this hub can tell
    this.#become({ name: "closed", cause });
    this.#resolveClosed(cause);
  }

  #parts(): LiveHubParts {
    return {
      options: this.#options,
      emitter: this.#emitter,
      onChannels: (states) => {
        const isSteady = this.#state.name === "online" || this.#state.name === "reconnecting";
        if (isSteady && this.#closing === undefined) this.#become(hubStateOf(states));
      },
      onError: (error, during) => this.#tellError(error, during),
    };
  }

  #become(to: HubState): void {
    const from = this.#state;
    if (from.name === "closed" || isSameState(from, to)) return;
    this.#state = to;
    this.#emitter.emit("state", { from, to });
  }

  #tellError(error: Error, during: string): void {
    const isHeard = during !== "a listener of error" && this.#emitter.listenerCount("error") > 0;
    if (isHeard) this.#emitter.emit("error", { error, during });
    else this.#options.log("error", "an error that nobody listens for", { error, during });
  }

  #listensNow(event: string): void {
    if (!event.startsWith("message:")) return;
    // Not at once: the caller may be about to add the next listener.
    this.#options.clock.after(0, () => this.#live?.inbox.retryHeld());
  }

  #ready(): LiveHub {
    if (this.#closing !== undefined) throw this.#closedError();
    if (this.#live === undefined) {
      throw new FederationError("invalid_state", "the hub is not initialized", {
        remedy: "Call `await hub.initialize()` first",
      });
    }
    return this.#live;
  }

  #closedError(): FederationError {
    return new FederationError("closed", `the hub of ${this.agentId} was shut down`, {
      remedy: "Make a new one with createRealtimeHub",
    });
  }
}

// The emitter knows the common events; the types that a hub's own parameter adds exist for callers only.
function asCommon(event: PropertyKey, listener: unknown): ["agent:join", Listener<HubEvents["agent:join"]>] {
  return [event as "agent:join", listener as Listener<HubEvents["agent:join"]>];
}
