import { requireId } from "../config/ids.ts";
import { Connection, openConnection, type ConnectionOptions } from "../connection/connection.ts";
import { openTokenSource, type Actor } from "../connection/credential-source.ts";
import { resolveTransport } from "../connection/transport.ts";
import { FederationError } from "../runtime/errors.ts";
import type { ResolvedAdapterOptions } from "./adapter-options.ts";
import type { QuietClock } from "./quiet-clock.ts";

/** One call's way to the database: a connection, and for whom it speaks there. */
export interface Acting {
  readonly connection: Connection;
  readonly tenantId: string;
  /** Undefined: the service role, for nobody in particular. */
  readonly agentId: string | undefined;
  /** What the functions of the schema take; they refuse what the token does not allow. */
  readonly as: Readonly<Record<string, string>>;
}

/** Whom a call names. */
export interface Named {
  readonly tenantId: string;
  /** Who must be acting. */
  readonly agentId?: string | undefined;
  /** Who acts where the credential lets us choose: with the JWT secret. Default: the adapter's own id. */
  readonly ratherAs?: string | undefined;
}

interface Held {
  readonly connection: Promise<Connection>;
  calls: number;
}

// A server may act for thousands of agents, one after the other; connections that nobody uses are closed beyond this many.
const maxIdleConnections = 100;

/**
 * Connections for whoever a call names. With the JWT secret each (tenant, agent) has one with tokens of its own; an agent's token acts
 * as that agent and nobody else; the service role names the agent in each call.
 */
export class ActingFor {
  readonly #options: ResolvedAdapterOptions;
  readonly #clock: QuietClock;
  readonly #held = new Map<string, Held>();
  #own: Promise<Connection> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ResolvedAdapterOptions, clock: QuietClock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Whom the credential itself names: an agent's token does, the service role and the JWT secret do not. */
  async self(): Promise<Actor | undefined> {
    const { credential } = this.#options.access();
    if (credential.kind === "secret" || credential.kind === "service-role") return undefined;
    return actorOf(await this.#ownConnection());
  }

  /** Whether calls may name whomever they like, and must name somebody: the JWT secret. */
  get actsForAnybody(): boolean {
    return this.#options.access().credential.kind === "secret";
  }

  /** For whom the call would speak; no agent is the service role's view of all. Rejects with "forbidden" as `run` does. */
  async speaker(named: Named): Promise<{ readonly tenantId: string; readonly agentId: string | undefined }> {
    if (this.#options.access().credential.kind === "secret") return this.#actorFor(named);
    const { tenantId, agentId } = await this.#asCredential(named);
    return { tenantId, agentId };
  }

  /** Runs `task` for whom the call names. Rejects with "forbidden" where the credential is somebody else's. */
  async run<T>(named: Named, task: (acting: Acting) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw adapterClosed();
    const release = this.#clock.hold();
    try {
      if (this.#options.access().credential.kind !== "secret")
        return await task(await this.#asCredential(named));
      const actor = this.#actorFor(named);
      const held = this.#hold(actor);
      try {
        return await task(actingAs(await held.connection, actor));
      } finally {
        held.calls -= 1;
        this.#dropIdle();
      }
    } finally {
      release();
    }
  }

  /** For everybody: the service role counts and cleans over all tenants. Others name the tenant they mean, or their token does. */
  async runForAll<T>(task: (connection: Connection) => Promise<T>): Promise<T | undefined> {
    if (this.#closing !== undefined) throw adapterClosed();
    if (this.#options.access().credential.kind === "secret") return undefined;
    const connection = await this.#ownConnection();
    if (actorOf(connection) !== undefined) return undefined;
    const release = this.#clock.hold();
    return await task(connection).finally(release);
  }

  /** A connection of the caller's own, with its own socket, which the caller closes. */
  async open(named: Named): Promise<Acting> {
    if (this.#closing !== undefined) throw adapterClosed();
    if (this.#options.access().credential.kind === "secret") {
      const actor = this.#actorFor(named);
      return actingAs(await openConnection(this.#connectionOptions(actor)), actor);
    }
    return as(await this.#openAsCredential(), named);
  }

  /** Ends what is under way. Twice returns the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const opened = [...this.#held.values()].map((held) => held.connection);
    if (this.#own !== undefined) opened.push(this.#own);
    await Promise.all(
      opened.map((opening) =>
        opening.then(
          (connection) => connection.close(),
          () => undefined,
        ),
      ),
    );
  }

  async #asCredential(named: Named): Promise<Acting> {
    return as(await this.#ownConnection(), named);
  }

  #ownConnection(): Promise<Connection> {
    const opening = (this.#own ??= this.#openAsCredential());
    // A failure is this call's; the next one tries again.
    opening.catch(() => {
      if (this.#own === opening) this.#own = undefined;
    });
    return opening;
  }

  /** The actor is whoever the token names, which is known once there is one. */
  async #openAsCredential(): Promise<Connection> {
    const { clock, log, requestTimeoutMs: timeoutMs, agentId } = this.#options;
    const access = this.#options.access();
    const nobody: Actor = { tenantId: "", agentId };
    const tokens = openTokenSource(access, nobody, { clock, log, timeoutMs });
    await tokens.token();
    const { claims } = tokens;
    if (access.credential.kind !== "service-role" && claims?.role !== "service_role") requireMember(claims);
    return new Connection(this.#connectionOptions(nobody), tokens, await resolveTransport());
  }

  #actorFor({ tenantId, agentId, ratherAs }: Named): Actor {
    return { tenantId, agentId: agentId ?? ratherAs ?? this.#options.agentId };
  }

  #hold(actor: Actor): Held {
    const key = `${actor.tenantId}/${actor.agentId}`;
    const found = this.#held.get(key);
    this.#held.delete(key);
    const held = found ?? { connection: openConnection(this.#connectionOptions(actor)), calls: 0 };
    held.calls += 1;
    this.#held.set(key, held); // newest last
    held.connection.catch(() => {
      if (this.#held.get(key) === held) this.#held.delete(key);
    });
    return held;
  }

  #dropIdle(): void {
    if (this.#held.size <= maxIdleConnections) return;
    for (const [key, { calls, connection }] of this.#held) {
      if (calls > 0) continue;
      this.#held.delete(key);
      void connection.then((opened) => opened.close());
      if (this.#held.size <= maxIdleConnections) return;
    }
  }

  #connectionOptions(actor: Actor): ConnectionOptions {
    const { requestTimeoutMs, fetch, random, log } = this.#options;
    return {
      access: this.#options.access(),
      actor,
      requestTimeoutMs,
      socketHeartbeatMs: 25_000,
      fetch,
      clock: this.#clock,
      random,
      log,
    };
  }
}

function actingAs(connection: Connection, { tenantId, agentId }: Actor): Acting {
  return { connection, tenantId, agentId, as: { as_tenant: tenantId, as_agent: agentId } };
}

function as(connection: Connection, { tenantId, agentId }: Named): Acting {
  const self = actorOf(connection);
  if (self === undefined) {
    return {
      connection,
      tenantId,
      agentId,
      as: { as_tenant: tenantId, ...(agentId === undefined ? {} : { as_agent: agentId }) },
    };
  }
  if (self.tenantId !== tenantId || (agentId !== undefined && agentId !== self.agentId)) {
    const asked = agentId === undefined ? `in tenant ${tenantId}` : `for ${agentId} of tenant ${tenantId}`;
    throw new FederationError(
      "forbidden",
      `the access token is ${self.agentId}'s of tenant ${self.tenantId} and cannot act ${asked}`,
      {
        remedy: "Use that agent's own token, or SUPABASE_JWT_SECRET on a server that acts for many",
      },
    );
  }
  return actingAs(connection, self);
}

/** Undefined for the service role and for keys that are no tokens. */
function actorOf(connection: Connection): Actor | undefined {
  const { claims } = connection.tokens;
  if (claims === undefined || claims.role === "service_role") return undefined;
  return {
    tenantId: requireId(claims.tenantId, "the token's tenant"),
    agentId: requireId(claims.agentId, "the token's agent"),
  };
}

function requireMember(claims: Connection["tokens"]["claims"]): void {
  if (claims?.tenantId !== undefined && claims.agentId !== undefined) return;
  throw new FederationError(
    "credentials",
    "the access token has no app_metadata.tenant_id, so it is no agent's",
    {
      remedy: "Use a token as mintAgentToken makes it, with app_metadata { tenant_id, agent_id }",
    },
  );
}

function adapterClosed(): FederationError {
  return new FederationError("closed", "the adapter was shut down");
}
