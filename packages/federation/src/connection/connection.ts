import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Access } from "../config/access.ts";
import { backoffMs } from "../runtime/backoff.ts";
import { sleep, withDeadline, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { Scope } from "../runtime/scope.ts";
import { openTokenSource, requireActor, type Actor } from "./credential-source.ts";
import { closeRealtime } from "./close-realtime.ts";
import { errorFromRest } from "./rest-error.ts";
import { retrying } from "./retry.ts";
import type { TokenSource } from "./token-source.ts";
import { ownTransport, resolveTransport, terminate, type OwnedSocket } from "./transport.ts";

export interface ConnectionOptions {
  readonly access: Access;
  /** Whom everything on this connection speaks for. */
  readonly actor: Actor;
  readonly requestTimeoutMs: number;
  readonly socketHeartbeatMs: number;
  readonly fetch?: typeof fetch | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** Set to false for a single try. Default true: every function of the schema may safely be called twice. */
  readonly retry?: boolean | undefined;
}

/**
 * A supabase-js client with a token that was resolved before anything is sent and is renewed in time, REST calls that are bounded and
 * retried, and a socket that can be ended at once. Rejects with FederationError when no token for the actor can be had.
 */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const { access, actor, clock, log, requestTimeoutMs: timeoutMs } = options;
  const tokens = openTokenSource(access, actor, { clock, log, timeoutMs });
  await tokens.token();
  requireActor(tokens.claims, actor);
  return new Connection(options, tokens, await resolveTransport());
}

export class Connection {
  readonly client: SupabaseClient;
  readonly tokens: TokenSource;
  readonly #options: ConnectionOptions;
  readonly #scope: Scope;
  readonly #requests = new Set<AbortController>();
  #socket: OwnedSocket | undefined;
  #lastSignOfLifeMs: number;
  #closing: Promise<void> | undefined;

  constructor(
    options: ConnectionOptions,
    tokens: TokenSource,
    transport: Parameters<typeof ownTransport>[0],
  ) {
    const { access, clock, random, log, socketHeartbeatMs } = options;
    this.#options = options;
    this.tokens = tokens;
    this.#lastSignOfLifeMs = clock.now();
    this.#scope = new Scope((error) => log("error", "a connection task failed", { error }));
    this.client = createClient(access.url, access.apiKey, {
      accessToken: () => tokens.token(),
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
      db: { retry: false },
      global: options.fetch === undefined ? {} : { fetch: options.fetch },
      realtime: {
        transport: ownTransport(transport, {
          onOpen: (socket) => this.#own(socket),
          onNoise: (error) => this.#noise(error),
        }),
        heartbeatIntervalMs: socketHeartbeatMs,
        heartbeatCallback: (status) => {
          if (status === "ok") this.#lastSignOfLifeMs = clock.now();
        },
        reconnectAfterMs: (tries) => backoffMs(tries, { minMs: 250, maxMs: 10_000 }, random),
      },
    });
    this.#scope.run((signal) => this.#keepTokenFresh(signal));
    this.#scope.run((signal) => this.#watchSocket(signal));
  }

  /** Calls a function of the schema as the actor. Rejects with FederationError. */
  call(
    name: string,
    args: Readonly<Record<string, unknown>> = {},
    options: CallOptions = {},
  ): Promise<unknown> {
    const { agentId, tenantId } = this.#options.actor;
    return this.callPlain(name, { ...args, as_agent: agentId, as_tenant: tenantId }, options);
  }

  /** Calls a function that returns rows, as the actor, page by page: a server gives 1000 rows an answer, or fewer. */
  async callForRows(name: string): Promise<unknown[]> {
    const { agentId, tenantId } = this.#options.actor;
    const args = { as_agent: agentId, as_tenant: tenantId };
    const rows: unknown[] = [];
    for (;;) {
      const { page, total } = await this.request(name, async (signal) => {
        const { data, error, status, count } = await this.client
          .rpc(name, args, { count: "exact" })
          .range(rows.length, rows.length + 999)
          .abortSignal(signal);
        // It ends where the last page did when rows have gone meanwhile.
        if (error !== null && error.code === "PGRST103") return { page: [], total: 0 };
        if (error !== null)
          throw errorFromRest(name, { status, code: error.code, message: error.message, hint: error.hint });
        const found: unknown = data;
        return { page: Array.isArray(found) ? found : [], total: count ?? 0 };
      });
      rows.push(...page);
      if (page.length === 0 || rows.length >= total) return rows;
    }
  }

  /** Calls a function that takes no actor. */
  callPlain(
    name: string,
    args: Readonly<Record<string, unknown>>,
    options: CallOptions = {},
  ): Promise<unknown> {
    return this.request(
      name,
      async (signal) => {
        const { data, error, status } = await this.client.rpc(name, args).abortSignal(signal);
        if (error !== null)
          throw errorFromRest(name, { status, code: error.code, message: error.message, hint: error.hint });
        return data as unknown;
      },
      options,
    );
  }

  /** Runs a REST request under this connection's limits. `task` may run more than once. */
  async request<T>(
    attempt: string,
    task: (signal: AbortSignal) => Promise<T>,
    options: CallOptions = {},
  ): Promise<T> {
    const { clock, random, requestTimeoutMs } = this.#options;
    const stop = new AbortController(); // one for each request: a shared signal with many listeners makes Node warn of a leak
    const signal =
      options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const run = async (inner: AbortSignal): Promise<T> => {
      await this.tokens.token(); // its own error, rather than a fetch that failed
      return task(inner);
    };
    const { timeoutMs = requestTimeoutMs, retry } = options;
    if (this.#closing !== undefined) throw connectionClosed();
    this.#requests.add(stop);
    try {
      return await retrying(run, { attempt, clock, random, timeoutMs, signal, retry });
    } finally {
      this.#requests.delete(stop);
    }
  }

  /** Resolves when supabase-js holds a fresh token, so that the next join carries it. */
  async refreshAuth(signal: AbortSignal): Promise<void> {
    const { clock, requestTimeoutMs: ms } = this.#options;
    await this.tokens.token();
    const error = (): Error => new FederationError("timeout", `realtime token: not set within ${ms} ms`);
    await withDeadline(() => this.client.realtime.setAuth(), { clock, ms, signal, error });
  }

  get isSocketOpen(): boolean {
    return this.client.realtime.isConnected();
  }

  /** Ends everything, at once and without leaving a timer behind. Closing twice returns the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const request of this.#requests) request.abort(connectionClosed());
    await this.#scope.close(connectionClosed());
    await closeRealtime(this.client, () => this.#socket, this.#options.clock);
  }

  #own(socket: OwnedSocket): void {
    this.#socket = socket;
    this.#lastSignOfLifeMs = this.#options.clock.now();
    // A reconnect that was under way while we closed comes too late: close again.
    if (this.#closing !== undefined)
      queueMicrotask(() => void closeRealtime(this.client, () => socket, this.#options.clock));
  }

  #noise(error: unknown): void {
    this.#options.log("debug", "a frame that could not be read was ignored", { error });
  }

  // supabase-js pushes a new token to joined channels whenever it is asked to look; it looks at each heartbeat, which is too rare for
  // a token that lives for seconds.
  async #keepTokenFresh(signal: AbortSignal): Promise<void> {
    const { clock, log, socketHeartbeatMs } = this.#options;
    while (this.tokens.renewAtMs !== Infinity) {
      const dueMs = this.tokens.renewAtMs - clock.now();
      const waitMs = dueMs > 0 ? dueMs + 10 : socketHeartbeatMs;
      await sleep(clock, waitMs, signal).catch(() => {});
      if (signal.aborted) return;
      await this.refreshAuth(signal).catch((error: unknown) => {
        if (!signal.aborted) log("error", "the access token could not be renewed", { error });
      });
    }
  }

  // supabase-js has a heartbeat timeout of its own; this is for the socket that it believes in and that no longer hears.
  async #watchSocket(signal: AbortSignal): Promise<void> {
    const { clock, log, socketHeartbeatMs } = this.#options;
    while (!signal.aborted) {
      await sleep(clock, socketHeartbeatMs, signal).catch(() => {});
      const silentMs = clock.now() - this.#lastSignOfLifeMs;
      if (
        signal.aborted ||
        this.#socket === undefined ||
        !this.isSocketOpen ||
        silentMs < socketHeartbeatMs * 3
      )
        continue;
      log("info", "the socket answers no heartbeats and is replaced", { silentMs });
      this.#lastSignOfLifeMs = clock.now();
      terminate(this.#socket);
    }
  }
}

function connectionClosed(): FederationError {
  return new FederationError("closed", "the connection was closed");
}
