import { silentLog } from "../../../runtime/log.ts";
import type { MemoryRow } from "../../memory-row.ts";
import { SyncEngine, type SyncEngineOptions } from "../sync-engine.ts";
import type { PushAnswer, SyncServer } from "../sync-server.ts";
import type { SyncChange } from "../sync-state.ts";
import { MemoryTenantStore } from "./memory-tenant-store.ts";
import { ModelServer } from "./model-server.ts";
import { SimClock } from "./sim-clock.ts";
import { rowOf, type WriteKind } from "./sim-replica.ts";

/** One request as the server saw it. */
export interface SeenCall {
  readonly name: "push" | "pull" | "read";
  readonly atMs: number;
  readonly ids: readonly string[];
}

/** A server that tests steer: what it throws, how slow it is, and what it saw. */
export class SteeredServer implements SyncServer {
  readonly calls: SeenCall[] = [];
  /** Thrown in place of an answer while it returns something. The push has then not happened. */
  refuses: (call: SeenCall) => Error | undefined = () => undefined;
  /** Thrown although the push has happened. */
  loses: (call: SeenCall) => Error | undefined = () => undefined;
  /** How long an answer is on its way. */
  waysMs: (call: SeenCall) => number = () => 1;
  readonly #clock: SimClock;
  readonly #model: ModelServer;
  readonly #agent: string;

  constructor(clock: SimClock, model: ModelServer, agent: string) {
    this.#clock = clock;
    this.#model = model;
    this.#agent = agent;
  }

  push(rows: readonly MemoryRow[]): Promise<readonly PushAnswer[]> {
    const ids = rows.map(({ id }) => id);
    return this.#answer({ name: "push", ids }, () => this.#model.begin(this.#agent, rows).commit());
  }

  pull: SyncServer["pull"] = (cursor, { maxRows, writer }) =>
    this.#answer({ name: "pull", ids: [] }, () => this.#model.pull(this.#agent, cursor, maxRows, writer));

  read: SyncServer["read"] = (ids) =>
    this.#answer({ name: "read", ids }, () => this.#model.read(this.#agent, ids));

  async #answer<T>(call: Pick<SeenCall, "name" | "ids">, answer: () => T): Promise<T> {
    const seen = { ...call, atMs: this.#clock.now() };
    this.calls.push(seen);
    await this.#clock.sleep(1);
    const refused = this.refuses(seen);
    if (refused !== undefined) throw refused;
    const value = answer();
    await this.#clock.sleep(this.waysMs(seen));
    const lost = this.loses(seen);
    if (lost !== undefined) throw lost;
    return value;
  }
}

/** A machine of one agent in a test: engine, store and its way to the server. */
export interface BenchReplica {
  readonly engine: SyncEngine;
  readonly store: MemoryTenantStore;
  readonly server: SteeredServer;
  /** All that listeners were told, in order. */
  readonly told: SyncChange[];
  readonly write: (
    id: string,
    options?: { content?: string; kind?: WriteKind; createdMs?: number },
  ) => Promise<MemoryRow>;
}

export class EngineBench {
  readonly clock: SimClock = new SimClock();
  readonly model: ModelServer = new ModelServer(() => this.clock.now());

  open(
    agent: string,
    options: Partial<SyncEngineOptions> & { store?: MemoryTenantStore } = {},
  ): BenchReplica {
    const { clock } = this;
    const store =
      options.store ?? new MemoryTenantStore({ nowIso: () => new Date(clock.now()).toISOString() });
    const server = new SteeredServer(clock, this.model, agent);
    const engine = new SyncEngine({
      server,
      writer: `${agent}/1`,
      isEnabled: true,
      syncIntervalMs: 60_000,
      requestTimeoutMs: 5_000,
      clock,
      random: () => 0.5,
      log: silentLog,
      ...options,
      store,
    });
    const told: SyncChange[] = [];
    engine.on("changes", ({ changes }) => void told.push(...changes));
    const write: BenchReplica["write"] = async (id, { content = id, kind = "put", createdMs } = {}) => {
      const held = store.get(id);
      const nowMs = createdMs ?? clock.now();
      const hlc = engine.stamp(held?.hlc);
      const row = rowOf({ id, agent, kind, content, nowMs, version: (held?.version ?? 0) + 1, hlc });
      await store.write([{ row }], { outbox: true });
      engine.wrote();
      return row;
    };
    return { engine, store, server, told, write };
  }
}

/** What a store holds that is alive, as `id content`. */
export function livingIn(store: MemoryTenantStore): string[] {
  const living = [...store.data.rows.values()].filter((row) => row.deleted_at === null);
  return living.map(({ id, content }) => `${id} ${content}`).toSorted();
}
