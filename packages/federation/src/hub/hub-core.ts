import { isBrowser, readEnvironment } from "../config/environment.ts";
import {
  resolveHubOptions,
  type HubOptions,
  type RealtimeConfig,
  type ResolvedHubOptions,
} from "../config/hub-options.ts";
import type { HubEvents } from "./hub-events.ts";
import { hubStateOf, isSameState, type HubState } from "./hub-state.ts";
import { LiveHub, type LiveHubParts } from "./live-hub.ts";
import { acknowledgesItself } from "../messaging/received.ts";
import { withDeadline } from "../runtime/clock.ts";
import { Emitter, type Listener, type ListenOptions } from "../runtime/emitter.ts";
import { FederationError, toError, toFederationError } from "../runtime/errors.ts";

export interface HubListenOptions extends ListenOptions {
  /** Of `agent:join`: set to false to hear only of those who come from now on. Default true. */
  readonly replay?: boolean;
  /** Of messages: `manual` where the listener says by `message.ack()` that it is handled, at any time. Default `auto`: when it finishes. */
  readonly ack?: "auto" | "manual";
}

const cleanUpMs = 5_000;

/** What every hub is: identity, life from `initialize()` to `shutdown()`, state and events. */
export abstract class HubCore<Own extends object = object> {
  readonly agentId: string;
  readonly tenantId: string;
  /** Resolves when the hub is closed, to the reason or, after `shutdown()`, to undefined. Never rejects. */
  readonly closed: Promise<FederationError | undefined>;
  protected readonly options: ResolvedHubOptions;
  protected live: LiveHub | undefined;
  readonly #emitter: Emitter<HubEvents>;
  readonly #manual = new WeakMap<object, Listener<HubEvents["agent:join"]>>();
  readonly #stop = new AbortController();
  #resolveClosed: (cause: FederationError | undefined) => void = () => {};
  #state: HubState = { name: "idle" };
  #initializing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(config: RealtimeConfig | HubOptions, agentId: string, tenantId = "default") {
    const surroundings = { environment: readEnvironment(), inBrowser: isBrowser() };
    this.options = resolveHubOptions({ agentId, tenantId }, config, surroundings);
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
    const [name, plain] = asCommon(event, listener);
    const heard = options.ack === "manual" ? this.#acknowledging(plain) : plain;
    const remove = this.#emitter.on(name, heard, options);
    if (name === "agent:join" && options.replay !== false && options.signal?.aborted !== true) {
      for (const { agentId, presences } of this.live?.presence.roster.members() ?? []) {
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
    const [name, heard] = asCommon(event, listener);
    this.#emitter.off(name, heard);
    const manual = this.#manual.get(heard);
    if (manual !== undefined) this.#emitter.off(name, manual);
  }

  /** The same one for the same listener, so that `off` finds it. */
  #acknowledging(listener: Listener<HubEvents["agent:join"]>): Listener<HubEvents["agent:join"]> {
    const known = this.#manual.get(listener);
    if (known !== undefined) return known;
    const manual: Listener<HubEvents["agent:join"]> = (event) => {
      acknowledgesItself(event);
      return listener(event);
    };
    this.#manual.set(listener, manual);
    return manual;
  }

  async #initialize(): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError();
    this.#become({ name: "connecting" });
    const { clock, initializeTimeoutMs: ms } = this.options;
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
      this.live = await withDeadline(open, { clock, ms, signal: this.#stop.signal, error });
    } catch (thrown) {
      // Whatever opens after all is closed again; a token source that hangs is not waited for.
      const cleanUp = async (): Promise<void> => await (await opening)?.close();
      await withDeadline(cleanUp, { clock, ms: cleanUpMs, error }).catch(() => {});
      const cause = toFederationError(thrown, "server", "initialize");
      this.#closing ??= this.#shutdown(cause);
      throw cause;
    }
    this.#become(hubStateOf(this.live.channels.map((channel) => channel.state)));
    this.live.usable();
    // After the code behind `await hub.initialize()` has added its listeners.
    clock.after(0, () => this.live?.messaging.inbox.release());
  }

  async #shutdown(cause: FederationError | undefined): Promise<void> {
    this.#stop.abort(this.#closedError());
    await this.#initializing?.catch(() => {});
    await this.live?.close();
    this.live = undefined; // nobody is here any more, as far as this hub can tell
    this.#become({ name: "closed", cause });
    this.#resolveClosed(cause);
  }

  #parts(): LiveHubParts {
    return {
      options: this.options,
      emitter: this.#emitter,
      onChannels: (states) => {
        const isSteady = this.#state.name === "online" || this.#state.name === "reconnecting";
        if (isSteady && this.#closing === undefined) this.#become(hubStateOf(states));
      },
      onError: (error, during) => this.#tellError(error, during),
      onReplaced: (error) => {
        this.#tellError(error, "heartbeat");
        this.#closing ??= this.#shutdown(error);
      },
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
    else this.options.log("error", "an error that nobody listens for", { error, during });
  }

  #listensNow(event: string): void {
    if (!event.startsWith("message:")) return;
    // Not at once: the caller may be about to add the next listener.
    this.options.clock.after(0, () => this.live?.messaging.inbox.retryHeld());
  }

  /** What runs; throws FederationError "invalid_state" before `initialize()` and "closed" after `shutdown()`. */
  protected ready(): LiveHub {
    if (this.#closing !== undefined) throw this.#closedError();
    if (this.live === undefined) {
      throw new FederationError("invalid_state", "the hub is not initialized", {
        remedy: "Call `await hub.initialize()` first",
      });
    }
    return this.live;
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
