import { backoffMs } from "../../runtime/backoff.ts";
import { sleep, systemClock, withDeadline, type Clock } from "../../runtime/clock.ts";
import {
  FederationError,
  isFederationError,
  toError,
  type FederationErrorCode,
} from "../../runtime/errors.ts";
import { isRecord, stringField } from "../../runtime/json.ts";
import { parseRetryAfter } from "../sync/retry-after.ts";
import { createEmbedder } from "./create-embedder.ts";
import type { Embed, Embedder } from "./embed.ts";
import { parseEmbeddings } from "./http-answer.ts";

export interface HttpEmbedderOptions {
  /** Where the API is: `https://api.openai.com/v1`, `http://127.0.0.1:11434`, or the whole address up to `/embeddings`. */
  readonly url: string;
  /** Sent as a bearer token; in no error and no log. */
  readonly apiKey?: string | undefined;
  readonly model: string;
  /** Asked of the server and held to. Default: the model's own, as the first answer has them. */
  readonly dimensions?: number | undefined;
  /** How the server is asked to send vectors: base64 is a fourth of the size. Both are read. Default `float`, which all servers know. */
  readonly encodingFormat?: "float" | "base64" | undefined;
  /** Texts in one request. Default 64. */
  readonly maxBatch?: number | undefined;
  /** Requests at the same time. Default 2. */
  readonly maxCalls?: number | undefined;
  /** Vectors kept, so that the same text is not embedded again. Default 2000. */
  readonly maxCached?: number | undefined;
  /** For one request. Default 30000. */
  readonly timeoutMs?: number | undefined;
  /** Requests for one batch, the first included, where the server is busy, failing or not there. Default 5. */
  readonly maxTries?: number | undefined;
  /** Default: the global one. */
  readonly fetch?: typeof fetch | undefined;
  readonly clock?: Clock | undefined;
  /** From 0 up to 1, for jitter. Default: Math.random. */
  readonly random?: (() => number) | undefined;
}

// A server that asks for a longer pause has not got a moment's trouble but an empty quota.
const longestWaitMs = 60_000;

/**
 * An embedder over HTTP, by the protocol that OpenAI, and after it most servers of models, speak: `POST …/v1/embeddings`. Batches, keeps and
 * checks what comes. Tries again at 408, 429, 5xx and where the server does not answer, not before `Retry-After`.
 */
export function createHttpEmbedder(options: HttpEmbedderOptions): Embedder<Float32Array> {
  const { model, dimensions, maxBatch, maxCalls, maxCached, clock = systemClock } = options;
  const server = new EmbeddingServer(options, clock);
  const embed: Embed = (texts, { signal } = {}) => server.embed(texts, signal);
  return createEmbedder({ embed, model, dimensions, maxBatch, maxCalls, maxCached, clock });
}

/** A failure that the same request may not meet again. */
interface Refusal {
  readonly error: FederationError;
  readonly isPassing: boolean;
  readonly retryAfterMs: number | undefined;
}

class EmbeddingServer {
  readonly #address: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #apiKey: string | undefined;
  readonly #question: Readonly<Record<string, unknown>>;
  readonly #fetch: typeof fetch;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #timeoutMs: number;
  readonly #maxTries: number;

  constructor(options: HttpEmbedderOptions, clock: Clock) {
    const { apiKey, model, dimensions, encodingFormat = "float" } = options;
    this.#address = addressOf(options.url);
    this.#apiKey = apiKey;
    this.#headers = { "content-type": "application/json", ...authorization(apiKey) };
    this.#question = {
      model,
      encoding_format: encodingFormat,
      ...(dimensions === undefined ? {} : { dimensions }),
    };
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.#clock = clock;
    this.#random = options.random ?? Math.random;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#maxTries = options.maxTries ?? 5;
  }

  async embed(texts: readonly string[], signal: AbortSignal | undefined): Promise<ArrayLike<number>[]> {
    for (let tries = 1; ; tries++) {
      const answer = await this.#ask(texts, signal);
      if (!("error" in answer)) return parseEmbeddings(answer.body, texts.length);
      signal?.throwIfAborted();
      const { error, isPassing, retryAfterMs = 0 } = answer;
      const waitMs = Math.max(backoffMs(tries, { minMs: 250, maxMs: 10_000 }, this.#random), retryAfterMs);
      if (!isPassing || tries >= this.#maxTries || waitMs > longestWaitMs) throw error;
      await sleep(this.#clock, waitMs, signal);
    }
  }

  /** One request; what fails is returned, so that a caller decides whether it passes. */
  async #ask(
    texts: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<{ readonly body: unknown } | Refusal> {
    const body = JSON.stringify({ ...this.#question, input: texts });
    const request = async (limit: AbortSignal): Promise<{ readonly body: unknown } | Refusal> => {
      const response = await this.#fetch(this.#address, {
        method: "POST",
        headers: this.#headers,
        body,
        signal: limit,
      });
      const text = await response.text();
      return response.ok ? { body: this.#parse(text) } : this.#refusal(response, text);
    };
    const ms = this.#timeoutMs;
    const error = (): Error => this.#error("timeout", `no answer within ${ms} ms`);
    try {
      return await withDeadline(request, { clock: this.#clock, ms, signal, error });
    } catch (thrown) {
      if (isFederationError(thrown)) {
        return { error: thrown, isPassing: thrown.code === "timeout", retryAfterMs: undefined };
      }
      const { message, cause } = toError(thrown);
      const below = cause instanceof Error ? ` (${cause.message})` : "";
      const failed = this.#error("unreachable", this.#withoutKey(`${message}${below}`));
      return { error: failed, isPassing: true, retryAfterMs: undefined };
    }
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw this.#error("protocol", `expected JSON, got ${text.length} characters of something else`);
    }
  }

  #refusal(response: Response, text: string): Refusal {
    const { status } = response;
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), this.#clock.now());
    // Of a refused key, some servers repeat parts.
    const said = status === 401 || status === 403 ? "" : this.#withoutKey(messageOf(text));
    const error = this.#error(
      codeOf(status),
      `the server answered ${status}${said === "" ? "" : `: ${said}`}`,
    );
    return { error, isPassing: status === 408 || status === 429 || status >= 500, retryAfterMs };
  }

  /** Without the query, where some services take their key. */
  #error(code: FederationErrorCode, what: string): FederationError {
    const { origin, pathname } = this.#address;
    return new FederationError(
      code,
      `embed with ${String(this.#question["model"])} at ${origin}${pathname}: ${what}`,
    );
  }

  #withoutKey(text: string): string {
    const secrets = [this.#apiKey, ...this.#address.searchParams.values()];
    return secrets.reduce<string>((shown, key) => (key ? shown.replaceAll(key, "…") : shown), text);
  }
}

function addressOf(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (address === undefined || !/^https?:$/.test(address.protocol) || address.username || address.password) {
    throw new FederationError(
      "invalid_argument",
      "createHttpEmbedder url: expected an http or https address without user and password",
    );
  }
  const path = address.pathname.replace(/\/+$/, "");
  if (!path.endsWith("/embeddings")) address.pathname = `${path === "" ? "/v1" : path}/embeddings`;
  return address;
}

/** Checked here, because fetch would name a key that it cannot send in its error. */
function authorization(apiKey: string | undefined): Record<string, string> {
  if (apiKey === undefined) return {};
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new FederationError(
      "credentials",
      "createHttpEmbedder apiKey: expected printable ASCII without spaces or line breaks",
    );
  }
  return { authorization: `Bearer ${apiKey}` };
}

function codeOf(status: number): FederationErrorCode {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 408) return "timeout";
  if (status === 413) return "too_large";
  if (status === 429 || status === 503) return "busy";
  if (status >= 500) return "server";
  return "invalid_argument";
}

/** `{ error: { message } }` and its relatives, cut short. */
function messageOf(text: string): string {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return "";
  }
  if (!isRecord(body)) return "";
  const { error } = body;
  const message = isRecord(error) ? stringField(error, "message") : stringField(body, "error");
  return (message ?? stringField(body, "message") ?? "").slice(0, 300);
}
