import type { Clock } from "../../runtime/clock.ts";
import { isRecord, numberField } from "../../runtime/json.ts";

/** How long the server asked not to be called again, in milliseconds, where an error's cause says so. */
export function retryAfterMsOf(error: unknown): number | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return isRecord(cause) ? numberField(cause, "retryAfterMs") : undefined;
}

/** `Retry-After`: seconds, or a date. Undefined for anything else. Source: RFC 9110, section 10.2.3. */
export function parseRetryAfter(value: string | null, nowMs: number): number | undefined {
  const text = value?.trim() ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const atMs = /[a-z]/i.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** Notes what responses say in `Retry-After`, which supabase-js does not pass on: give `fetch` to the connection. */
export class RetryAfterFetch {
  readonly #fetch: typeof fetch;
  readonly #clock: Clock;
  #untilMs = 0;

  constructor(inner: typeof fetch, clock: Clock) {
    this.#fetch = inner;
    this.#clock = clock;
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const response = await this.#fetch(input, init);
    if (response.status === 429 || response.status === 503) {
      const nowMs = this.#clock.now();
      const waitMs = parseRetryAfter(response.headers.get("retry-after"), nowMs);
      if (waitMs !== undefined) this.#untilMs = Math.max(this.#untilMs, nowMs + waitMs);
    }
    return response;
  };

  /** Undefined where nothing was asked for, or the time has passed. */
  retryAfterMs(): number | undefined {
    const leftMs = this.#untilMs - this.#clock.now();
    return leftMs > 0 ? leftMs : undefined;
  }
}
