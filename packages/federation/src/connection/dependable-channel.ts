import type { RealtimeChannel, RealtimeChannelOptions, SupabaseClient } from "@supabase/supabase-js";
import { backoffMs } from "../runtime/backoff.ts";
import { sleep, withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError, isFederationError, toFederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import { Scope } from "../runtime/scope.ts";
import { classifyReason, reasonError } from "./channel-reason.ts";
import { nextChannelState, type ChannelEvent, type ChannelState, type EndKind } from "./channel-state.ts";

/** The connection as a channel sees it. */
export interface ChannelHost {
  readonly client: SupabaseClient;
  readonly isSocketOpen: boolean;
  refreshAuth(signal: AbortSignal): Promise<void>;
  readonly tokens: { token(): Promise<string> };
}

export interface ChannelPlan {
  readonly topic: string;
  readonly config: RealtimeChannelOptions["config"];
  /**
   * Adds the handlers to a channel that was just built. Each new channel object gets them anew. `isJoined` says whether what it hears counts:
   * before `onJoined` and after the channel's end something may have been missed that was said earlier.
   */
  bind(channel: RealtimeChannel, isJoined: () => boolean): void;
  /** After every join, the first and each one after an outage: what was missed meanwhile must be read now. */
  onJoined(channel: RealtimeChannel): void;
  /** Database broadcasts flow from now on; what was committed before may have been missed. */
  onReplicating?(): void;
  onState(state: ChannelState): void;
}

export interface ChannelParts {
  readonly host: ChannelHost;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly joinTimeoutMs: number;
}

interface End {
  readonly kind: EndKind;
  readonly cause: FederationError;
}

const slowestRetryMs = 30_000;
const limitedMinMs = 5_000;
// A token source that never changes its token is still asked now and then: policies can be repaired as well.
const refusedRetryMs = 300_000;
const tokenPollMs = 5_000;

/** The one owner of a topic: joins it and keeps it joined, building a new channel with a fresh token whenever the old one is dead. */
export class DependableChannel {
  readonly #plan: ChannelPlan;
  readonly #parts: ChannelParts;
  readonly #scope: Scope;
  #state: ChannelState = { name: "idle" };
  #channel: RealtimeChannel | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(plan: ChannelPlan, parts: ChannelParts) {
    this.#plan = plan;
    this.#parts = parts;
    this.#scope = new Scope((error) =>
      parts.log("error", "a channel task failed", { topic: plan.topic, error }),
    );
  }

  get topic(): string {
    return this.#plan.topic;
  }

  get state(): ChannelState {
    return this.#state;
  }

  /** The joined channel; undefined while there is none. */
  get joined(): RealtimeChannel | undefined {
    return this.#state.name === "online" ? this.#channel : undefined;
  }

  open(): void {
    if (this.#state.name !== "idle") return;
    this.#apply({ type: "open" });
    this.#scope.run((signal) => this.#stayJoined(signal));
  }

  /** Resolves to the channel once it is joined; rejects when time is up, when the server refused for good, or when this was closed. */
  whenJoined(timeoutMs: number, signal?: AbortSignal): Promise<RealtimeChannel> {
    const error = (): FederationError => {
      const state = this.#state;
      const cause = "cause" in state ? state.cause : undefined;
      if (cause?.code === "unauthorized") return cause; // says more than that time was up
      const last = cause === undefined ? "" : `; last: ${cause.message}`;
      return new FederationError(
        "timeout",
        `channel ${this.topic}: not joined within ${timeoutMs} ms${last}`,
        { cause },
      );
    };
    const wait = async (stop: AbortSignal): Promise<RealtimeChannel> => {
      while (!stop.aborted) {
        const state = this.#state;
        if (state.name === "refused") throw state.cause;
        if (state.name === "closed")
          throw new FederationError("closed", `channel ${this.topic}: it was closed`);
        if (state.name === "online" && this.#channel !== undefined) return this.#channel;
        await this.#changed(stop);
      }
      throw error();
    };
    const { clock } = this.#parts;
    return withDeadline(wait, { clock, ms: timeoutMs, signal, error });
  }

  /** Leaves. Resolves when nothing of it runs any more; twice returns the same promise. */
  close(): Promise<void> {
    this.#apply({ type: "close" });
    return this.#scope.close(new FederationError("closed", `channel ${this.topic}: it was closed`));
  }

  async #stayJoined(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#parts;
    while (!signal.aborted) {
      const end = await this.#liveOnce(signal);
      if (signal.aborted) return;
      const state = this.#apply({ type: "ended", ...end });
      log("debug", "a channel ended", {
        topic: this.topic,
        state: state.name,
        kind: end.kind,
        reason: end.cause.message,
      });
      if (state.name === "refused") await this.#anotherToken(signal);
      else await sleep(clock, waitMs(state, random), signal).catch(() => {});
      this.#apply({ type: "retry" });
    }
  }

  /** Builds one channel and resolves when it has come to its end. Never rejects. */
  async #liveOnce(signal: AbortSignal): Promise<End> {
    const { host, joinTimeoutMs } = this.#parts;
    try {
      await host.refreshAuth(signal);
    } catch (error) {
      const isRefused = isFederationError(error, "unauthorized") || isFederationError(error, "credentials");
      return {
        kind: isRefused ? "refused" : "transient",
        cause: toFederationError(error, "unreachable", `channel ${this.topic}`),
      };
    }
    const channel = host.client.channel(this.topic, { config: this.#plan.config });
    const end = await new Promise<End>((resolve) => {
      let reason: string | undefined;
      let isOver = false;
      const finish = (kind: EndKind, cause: FederationError): void => {
        if (isOver) return;
        isOver = true;
        signal.removeEventListener("abort", onAbort);
        resolve({ kind, cause });
      };
      const onAbort = (): void =>
        finish("transient", new FederationError("closed", `channel ${this.topic}: it was closed`));
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      channel.on("system", {}, (payload: unknown) => {
        if (!isRecord(payload)) return;
        const message = stringField(payload, "message") ?? "";
        // The word before a CLOSED, which itself gives no reason.
        if (payload["status"] === "error") reason = message;
        else if (message === "Replication connection established" && !isOver) this.#plan.onReplicating?.();
      });
      this.#plan.bind(channel, () => !isOver && this.joined === channel);
      channel.subscribe((status, error) => {
        if (isOver) return;
        const text = reason ?? error?.message ?? status;
        const cause = reasonError(this.topic, text, error);
        if (status === "SUBSCRIBED") {
          reason = undefined;
          this.#channel = channel;
          this.#apply({ type: "joined" });
          this.#plan.onJoined(channel);
        } else if (status === "CLOSED") finish(classifyReason(text), cause);
        // With the socket gone supabase-js reconnects and joins again; with the socket up it would ask for ever, at its own pace.
        else if (host.isSocketOpen) finish(classifyReason(text), cause);
        else this.#apply({ type: "dropped", cause });
      }, joinTimeoutMs);
    });
    this.#channel = undefined;
    await host.client.removeChannel(channel);
    return end;
  }

  async #anotherToken(signal: AbortSignal): Promise<void> {
    const { clock, host } = this.#parts;
    const current = await host.tokens.token().catch(() => undefined);
    const until = clock.now() + refusedRetryMs;
    while (!signal.aborted && clock.now() < until) {
      await sleep(clock, tokenPollMs, signal).catch(() => {});
      const next = await host.tokens.token().catch(() => undefined);
      if (next !== undefined && next !== current) return;
    }
  }

  #apply(event: ChannelEvent): ChannelState {
    const from = this.#state;
    const to = nextChannelState(from, event);
    if (to === from) return from;
    this.#state = to;
    this.#plan.onState(to);
    for (const wake of Array.from(this.#waiting)) wake(); // each removes itself
    return to;
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}

/** How long to wait in `state` before the next channel is built. */
export function waitMs(state: ChannelState, random: () => number): number {
  if (state.name !== "waiting") return 0;
  const ms = backoffMs(state.attempt, { minMs: 250, maxMs: slowestRetryMs }, random);
  if (state.kind === "limited") return limitedMinMs + ms;
  if (state.kind === "expired" && state.attempt === 1) return ms / 2;
  return ms;
}
