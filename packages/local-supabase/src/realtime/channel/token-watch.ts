import type { Credential } from "../../keys/credential.ts";
import { isObject } from "../codec/message.ts";
import type { ServerParts } from "../server-parts.ts";
import { refreshProblem } from "./texts.ts";

export interface TokenEvents {
  /** The token in use has ended. */
  expired(secondsAgo: number): void;
  /** Runs a token change in the order of the channel's pushes. */
  apply(run: () => Promise<void>): void;
  /** A new token is no good. */
  refused(text: string): void;
  /** A new token is good; answers the text to close with if the channel may not go on with it. */
  accepted(credential: Credential): Promise<string | undefined>;
}

type TokenParts = Pick<ServerParts, "clock" | "settings" | "keyring">;

/** The token of one channel: when it ends, and what comes after it. */
export class TokenWatch {
  readonly #server: TokenParts;
  readonly #events: TokenEvents;
  #token: string;
  #expiresAtSeconds: number | undefined;
  #appliedAtMs = Number.NEGATIVE_INFINITY;
  /** A token that came too soon after the last one. */
  #held: string | undefined;
  #cancelCheck: () => void = nothing;
  #cancelHeld: () => void = nothing;
  #isStopped = false;

  constructor(
    start: { readonly token: string; readonly credential: Credential },
    server: TokenParts,
    events: TokenEvents,
  ) {
    this.#server = server;
    this.#events = events;
    this.#token = start.token;
    this.#expiresAtSeconds = start.credential.expiresAtSeconds;
    this.#scheduleCheck();
  }

  /** The payload of an `access_token` push. Never answered; only a token that changes something has an effect. */
  offer(payload: unknown): void | Promise<void> {
    const token = isObject(payload) ? payload["access_token"] : undefined;
    if (typeof token !== "string" || token.startsWith("sb_")) return;
    if (token === this.#token) {
      this.#held = undefined; // the last one wins, and it is the one in use
      this.#cancelHeld();
      return;
    }
    const { clock, settings } = this.#server;
    const waitMs = this.#appliedAtMs + settings.accessTokenThrottleMs - clock.now();
    if (waitMs > 0) {
      this.#held = token;
      this.#cancelHeld();
      this.#cancelHeld = clock.after(waitMs, () => this.#applyHeld());
      return;
    }
    return this.#apply(token);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelCheck();
    this.#cancelHeld();
  }

  #applyHeld(): void {
    const token = this.#held;
    this.#held = undefined;
    this.#cancelHeld();
    if (token !== undefined) this.#events.apply(async () => this.#apply(token));
  }

  async #apply(token: string): Promise<void> {
    if (token === this.#token || this.#isStopped) return;
    const verified = await this.#server.keyring.verify(token);
    if (this.#isStopped) return;
    if ("problem" in verified) return this.#events.refused(refreshProblem(verified.problem));
    this.#appliedAtMs = this.#server.clock.now();
    this.#token = token;
    this.#expiresAtSeconds = verified.credential.expiresAtSeconds;
    this.#scheduleCheck();
    const objection = await this.#events.accepted(verified.credential);
    if (objection !== undefined && !this.#isStopped) this.#events.refused(objection);
  }

  #scheduleCheck(): void {
    this.#cancelCheck();
    if (this.#expiresAtSeconds === undefined) return;
    const { clock, settings } = this.#server;
    const leftMs = this.#expiresAtSeconds * 1000 - clock.now();
    this.#cancelCheck = clock.after(Math.max(0, Math.min(leftMs, settings.tokenCheckMs)), () =>
      this.#check(),
    );
  }

  #check(): void {
    const overdueMs = this.#server.clock.now() - (this.#expiresAtSeconds ?? Number.POSITIVE_INFINITY) * 1000;
    if (overdueMs < 0) this.#scheduleCheck();
    else if (this.#held !== undefined) this.#applyHeld();
    else this.#events.expired(overdueMs / 1000);
  }
}

function nothing(): void {}
