import { withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError, toFederationError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { readClaims, type TokenClaims } from "../tokens/claims.ts";

export interface TokenSourceParts {
  /** Makes or fetches a token. Called again before the last one expires. */
  readonly provide: () => Promise<string>;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly log: Log;
}

interface Held {
  readonly token: string;
  readonly claims: TokenClaims | undefined;
  /** From when on a new one is asked for. */
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

// A token must outlive the 25 s between two heartbeats of supabase-js, at which it looks for a new one, plus a slow answer.
const longestMarginMs = 90_000;
// After a failed renewal the old token serves on; the provider is not asked again at once.
const retryAfterMs = 5_000;

/** One token, renewed in time, asked for once however many wait for it. */
export class TokenSource {
  readonly #parts: TokenSourceParts;
  #held: Held | undefined;
  #asking: Promise<Held> | undefined;
  #quietUntilMs = 0;

  constructor(parts: TokenSourceParts) {
    this.#parts = parts;
  }

  /** A token that is good now and for a while. Rejects with FederationError when there is none to be had. */
  async token(): Promise<string> {
    const held = this.#held;
    const now = this.#parts.clock.now();
    if (held !== undefined && (now < held.renewAtMs || now < this.#quietUntilMs) && now < held.expiresAtMs)
      return held.token;
    try {
      return (await this.#renew()).token;
    } catch (error) {
      if (held === undefined || now >= held.expiresAtMs) throw error;
      this.#quietUntilMs = now + retryAfterMs;
      this.#parts.log("error", "no new access token; the old one serves until it expires", { error });
      return held.token;
    }
  }

  /** What the held token says; undefined before the first and for opaque keys. */
  get claims(): TokenClaims | undefined {
    return this.#held?.claims;
  }

  /** When `token()` should be called again so that nothing runs out; infinite for a key that does not expire. */
  get renewAtMs(): number {
    return Math.max(this.#held?.renewAtMs ?? 0, this.#quietUntilMs);
  }

  #renew(): Promise<Held> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<Held> {
    const { provide, clock, timeoutMs } = this.#parts;
    const error = (): Error =>
      new FederationError("timeout", `access token: no answer from its source within ${timeoutMs} ms`);
    const token = await withDeadline(provide, { clock, ms: timeoutMs, error }).catch((thrown: unknown) => {
      throw toFederationError(thrown, "credentials", "access token");
    });
    this.#held = hold(token, clock.now());
    return this.#held;
  }
}

function hold(token: string, nowMs: number): Held {
  const claims = readClaims(token);
  // A key that is no token does not expire; a token that does not say when is asked for every time.
  if (claims === undefined) return { token, claims, renewAtMs: Infinity, expiresAtMs: Infinity };
  const expiresAtMs = claims.expiresAtMs;
  if (expiresAtMs === undefined) return { token, claims, renewAtMs: 0, expiresAtMs: Infinity };
  if (expiresAtMs <= nowMs) {
    throw new FederationError(
      "unauthorized",
      `access token: it expired at ${new Date(expiresAtMs).toISOString()}`,
      {
        remedy: "Give the agent a new token, or an accessToken callback that returns a fresh one each time",
      },
    );
  }
  const lifeMs = expiresAtMs - Math.min(nowMs, claims.issuedAtMs ?? nowMs);
  return { token, claims, renewAtMs: expiresAtMs - Math.min(longestMarginMs, lifeMs / 3), expiresAtMs };
}
