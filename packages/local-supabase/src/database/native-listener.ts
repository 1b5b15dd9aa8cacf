import pg from "pg";
import { closedError } from "./database-errors.ts";
import { toDatabaseError } from "./native-errors.ts";
import { quoteIdentifier } from "./quote.ts";

type OnPayload = (payload: string) => void;

export interface NativeListenerOptions {
  readonly client: pg.ClientConfig;
  readonly log: (level: "error" | "info", message: string, fields?: Record<string, unknown>) => void;
}

const firstRetryMs = 100;
const longestRetryMs = 5_000;

/**
 * LISTEN on a connection of its own, opened with the first listener and opened again whenever it drops. What was
 * notified in between is lost, as it is with any LISTEN.
 */
export class NativeListener {
  readonly #options: NativeListenerOptions;
  readonly #listeners = new Map<string, Set<OnPayload>>();
  #connecting: Promise<pg.Client> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: NativeListenerOptions) {
    this.#options = options;
  }

  async listen(channel: string, onPayload: OnPayload): Promise<() => Promise<void>> {
    if (this.#isClosed) throw closedError();
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(onPayload));
    try {
      const client = await (this.#connecting ??= this.#connect());
      await client.query(`listen ${quoteIdentifier(channel)}`);
    } catch (error) {
      this.#forget(channel, onPayload);
      throw toDatabaseError(error);
    }
    return async () => {
      if (!this.#forget(channel, onPayload) || this.#isClosed) return;
      const client = await this.#connecting?.catch(() => undefined);
      await client?.query(`unlisten ${quoteIdentifier(channel)}`).catch(() => undefined);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    const client = await this.#connecting?.catch(() => undefined);
    await client?.end().catch(() => undefined);
  }

  /** True when nobody listens on the channel any more. */
  #forget(channel: string, onPayload: OnPayload): boolean {
    const listeners = this.#listeners.get(channel);
    if (listeners?.delete(onPayload) !== true || listeners.size > 0) return false;
    return this.#listeners.delete(channel);
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client(this.#options.client);
    client.on("notification", ({ channel, payload }) => {
      for (const onPayload of this.#listeners.get(channel) ?? []) onPayload(payload ?? "");
    });
    client.on("error", () => this.#dropped(client));
    client.on("end", () => this.#dropped(client));
    try {
      await client.connect();
      for (const channel of this.#listeners.keys()) await client.query(`listen ${quoteIdentifier(channel)}`);
      return client;
    } catch (error) {
      client.removeAllListeners("end");
      this.#connecting = undefined;
      await client.end().catch(() => undefined);
      throw error;
    }
  }

  #dropped(client: pg.Client): void {
    client.removeAllListeners("end");
    this.#connecting = undefined;
    if (this.#isClosed || this.#retry !== undefined || this.#listeners.size === 0) return;
    this.#options.log("info", "the connection that listens for notifications dropped");
    this.#retryAfter(firstRetryMs);
  }

  #retryAfter(retryMs: number): void {
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        if (this.#isClosed || this.#connecting !== undefined) return;
        this.#connecting = this.#connect();
        this.#connecting.catch(() => this.#retryAfter(Math.min(retryMs * 2, longestRetryMs)));
      },
      retryMs * (0.5 + Math.random() / 2),
    );
  }
}
