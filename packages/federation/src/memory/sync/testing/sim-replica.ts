import type { Clock } from "../../../runtime/clock.ts";
import { silentLog } from "../../../runtime/log.ts";
import type { Hlc, MemoryRow } from "../../memory-row.ts";
import { compareHlc } from "../hlc.ts";
import { SyncEngine } from "../sync-engine.ts";
import { versionOf } from "./model-server.ts";
import type { SyncChange } from "../sync-state.ts";
import { emptyStoreData, MemoryTenantStore, type StoreData } from "./memory-tenant-store.ts";
import type { SimClock } from "./sim-clock.ts";
import type { SimServer, Weather } from "./sim-network.ts";

export interface SimReplicaParts {
  readonly name: string;
  readonly agent: string;
  readonly clock: SimClock;
  readonly random: () => number;
  readonly server: SimServer;
  readonly weather: Weather;
  /** What this agent may read on the server right now. */
  readonly onServer: () => readonly MemoryRow[];
  /** Whether the server ever had this. */
  readonly wasOnServer: (row: MemoryRow) => boolean;
}

/** A write that the store acknowledged. */
export interface Acknowledged {
  readonly row: MemoryRow;
  readonly atMs: number;
}

export type WriteKind = "put" | "private" | "delete" | "refused";

interface Process {
  readonly engine: SyncEngine;
  readonly store: MemoryTenantStore;
  readonly gatedStore: MemoryTenantStore;
  readonly gatedServer: SimServer;
  /** Ids that the server is being asked about, and of writes under way: what an adapter lets wait for them is not asked for here. */
  readonly asked: Set<string>;
  readonly writing: string[];
  isAlive: boolean;
}

/** An agent's machine: a store that survives, and processes on it that do not. */
export class SimReplica {
  readonly name: string;
  readonly agent: string;
  data: StoreData = emptyStoreData();
  readonly acknowledged: Acknowledged[] = [];
  /** What listeners were told, by id: the last version; undefined after a deletion. */
  readonly told = new Map<string, MemoryRow | undefined>();
  /** Writes that were there, or here, when this replica first was live: of those nobody is told. */
  loaded: ReadonlySet<string> | undefined;
  /** What should not have been told: what was there when the store was new, what the server never had, what this process told before. */
  readonly mistold: string[] = [];
  /** What was there when the store was new. */
  readonly #atFirst = new Map<string, string>();
  /** By id, the latest write that a process of this machine has seen the server have. */
  readonly #seen = new Map<string, Hlc>();
  /** How wrong this machine's clock is. */
  skewMs = 0;
  readonly #parts: SimReplicaParts;
  #process: Process | undefined;
  #starts = 0;

  constructor(parts: SimReplicaParts) {
    this.name = parts.name;
    this.agent = parts.agent;
    this.#parts = parts;
    this.#noteFirst();
    this.start();
  }

  get engine(): SyncEngine | undefined {
    return this.#process?.engine;
  }

  start(): void {
    if (this.#process !== undefined) return;
    const { clock, random, server, name, weather } = this.#parts;
    const state = { isAlive: true };
    const isAlive = (): boolean => state.isAlive;
    const mayDie = (): boolean => {
      if (state.isAlive && random() < weather.deadly) {
        this.crash();
        clock.after(random() * 100, () => this.start());
      }
      return state.isAlive;
    };
    const view: Clock = {
      now: () => clock.now() + this.skewMs,
      elapsed: () => clock.now(),
      after: (ms, run) => clock.after(ms, () => (isAlive() ? run() : undefined)),
    };
    const store = new MemoryTenantStore({
      data: this.data,
      disk: () => clock.sleep(random() * 4),
      nowIso: () => new Date(clock.now()).toISOString(),
    });
    const gatedStore = gated(store, mayDie);
    const gatedServer = gated(this.#watched(server), mayDie);
    this.#starts += 1;
    const engine = new SyncEngine({
      store: gatedStore,
      server: gatedServer,
      writer: `${name}/${this.#starts}`,
      isEnabled: true,
      syncIntervalMs: 20_000,
      requestTimeoutMs: 5_000,
      clock: view,
      random,
      log: silentLog,
    });
    const last = new Map<string, string>();
    engine.on("changes", ({ changes }) => {
      if (!isAlive()) return;
      for (const { change, row } of changes) {
        this.#look(change, row, last);
        this.told.set(row.id, change === "deleted" ? undefined : row);
      }
    });
    engine.on("state", ({ phase }) => {
      if (phase !== "live" || this.loaded !== undefined || !isAlive()) return;
      this.loaded = new Set([...this.#parts.onServer(), ...this.data.rows.values()].map(writeOf));
    });
    this.#process = Object.assign(state, {
      engine,
      store,
      gatedStore,
      gatedServer,
      asked: new Set<string>(),
      writing: [],
    });
  }

  /** The process ends wherever it is; of what the store had under way, a part is durable. */
  crash(): void {
    const process = this.#process;
    if (process === undefined) return;
    process.isAlive = false;
    process.store.crash(Math.floor(this.#parts.random() * 3));
    this.#process = undefined;
  }

  /** The folder is gone: what was not pushed went with it, and everything is loaded anew. */
  newMachine(): void {
    this.crash();
    this.data = emptyStoreData();
    this.acknowledged.length = 0;
    this.told.clear();
    this.loaded = undefined;
    this.#noteFirst();
    this.start();
  }

  /** Whatever the server has instead from now on is news. */
  isNews(id: string): void {
    this.#atFirst.delete(id);
  }

  /** Against what the server has, which then stays, and is told. */
  #mayLose({ id, hlc }: MemoryRow): boolean {
    const held = this.#parts.onServer().find((other) => other.id === id);
    return held !== undefined && (held.agent_id !== this.agent || compareHlc(held.hlc, hlc) > 0);
  }

  #noteFirst(): void {
    const { clock, onServer } = this.#parts;
    this.#atFirst.clear();
    for (const row of onServer())
      if (row.deleted_at === null && Date.parse(row.updated_at) < clock.now())
        this.#atFirst.set(row.id, `false ${versionOf(row)}`);
  }

  #look(change: SyncChange["change"], row: MemoryRow, last: Map<string, string>): void {
    const version = `${change === "deleted"} ${versionOf(row)}`;
    const wrong = (what: string): void =>
      void this.mistold.push(`${this.name} was told ${what}: ${change} ${JSON.stringify(row)}`);
    if (this.loaded === undefined && !this.told.has(row.id) && this.#atFirst.get(row.id) === version)
      wrong("what was there at first");
    if (change !== "deleted" && !this.#parts.wasOnServer(row)) wrong("what the server never had");
    if (last.get(row.id) === version) wrong("the same twice");
    last.set(row.id, version);
  }

  write(id: string, kind: WriteKind, content: string): void {
    const process = this.#process;
    if (process === undefined) return;
    const { engine, gatedStore, asked, writing } = process;
    const { clock } = this.#parts;
    const held = gatedStore.get(id);
    if (asked.has(id)) return;
    if (kind === "delete" && (held === undefined || held.deleted_at !== null)) return;
    if (held !== undefined && held.agent_id !== this.agent) return; // the adapter refuses it before it is written
    const row = rowOf({
      id,
      agent: this.agent,
      kind,
      content,
      nowMs: clock.now(),
      version: (held?.version ?? 0) + 1,
      hlc: engine.stamp(held?.hlc),
    });
    if (kind === "refused" || this.#mayLose(row)) this.isNews(id);
    writing.push(id);
    void gatedStore.write([{ row }], { outbox: true }).then(() => {
      writing.splice(writing.indexOf(id), 1);
      this.acknowledged.push({ row, atMs: clock.now() });
      engine.wrote();
    });
  }

  /** As an adapter lets the server decide about a write. */
  writeThere(id: string, content: string): void {
    const process = this.#process;
    if (process === undefined || process.asked.has(id) || process.writing.includes(id)) return;
    process.asked.add(id);
    void this.#storeThere(process, id, content)
      .catch(() => undefined) // refused, or nobody there: then it is nobody's write
      .finally(() => process.asked.delete(id));
  }

  async #storeThere(
    { engine, gatedStore, gatedServer }: Process,
    id: string,
    content: string,
  ): Promise<void> {
    const { clock } = this.#parts;
    if (gatedStore.isPending(id)) await engine.push();
    const nowMs = clock.now();
    const hlc = { ms: 0, counter: 0, writer: "" };
    const made = rowOf({ id, agent: this.agent, kind: "put", content, nowMs, version: 0, hlc });
    const [answer] = await gatedServer.store(made);
    if (answer?.outcome !== "applied") return;
    this.acknowledged.push({ row: answer.row, atMs: clock.now() });
    await engine.takeIn([id]);
    const isBefore = (row: MemoryRow | undefined): boolean =>
      row === undefined || compareHlc(row.hlc, answer.row.hlc) < 0;
    const onServer = this.#parts.onServer().find((row) => row.id === id);
    if (isBefore(onServer)) return; // another database has taken its place
    if (isBefore(gatedStore.get(id)))
      this.mistold.push(`${this.name} does not have what it stored there: ${writeOf(answer.row)}`);
  }

  /** The server, with a note of what its answers show that it has. */
  #watched(server: SimServer): SimServer {
    const note = (rows: readonly MemoryRow[]): void => {
      for (const { id, hlc } of rows) {
        const before = this.#seen.get(id);
        if (before === undefined || compareHlc(hlc, before) > 0) this.#seen.set(id, hlc);
      }
    };
    return {
      push: async (rows, signal) => {
        const answers = await server.push(rows, signal);
        note(rows.filter((_, index) => answers[index]?.outcome !== "refused"));
        return answers;
      },
      store: async (row) => {
        const answers = await server.store(row);
        note(answers.flatMap((answer) => (answer.outcome === "refused" ? [] : [answer.row])));
        return answers;
      },
      pull: async (cursor, limits, signal) => {
        const answer = await server.pull(cursor, limits, signal);
        note(answer.rows.map(({ row }) => row));
        return answer;
      },
      read: async (ids, signal) => {
        const rows = await server.read(ids, signal);
        note(rows.map(({ row }) => row));
        return rows;
      },
    };
  }

  /** Whether a process of this machine has seen the server have this write, or one that it gives way to. */
  hasSeen({ id, hlc }: MemoryRow): boolean {
    const seen = this.#seen.get(id);
    return seen !== undefined && compareHlc(seen, hlc) >= 0;
  }

  retryDeadLetters(): void {
    for (const { place } of this.data.dead.values()) {
      void this.#process?.gatedStore.retryDeadLetter(place).then(() => this.engine?.wrote());
    }
  }

  sync(): void {
    void this.engine?.sync().catch(() => undefined); // what it fails with is not the point here
  }
}

/** A write by its id and clock. */
export function writeOf({ id, hlc }: MemoryRow): string {
  return `${id} ${JSON.stringify(hlc)}`;
}

interface RowFacts {
  readonly id: string;
  readonly agent: string;
  readonly kind: WriteKind;
  readonly content: string;
  readonly nowMs: number;
  readonly version: number;
  readonly hlc: MemoryRow["hlc"];
}

export function rowOf({ id, agent, kind, content, nowMs, version, hlc }: RowFacts): MemoryRow {
  const at = new Date(nowMs).toISOString();
  return {
    id,
    agent_id: agent,
    session_id: null,
    session_agent: null,
    content: kind === "delete" ? "" : content,
    embedding: null,
    embedding_model: null,
    metadata: {},
    source: null,
    scope: kind === "private" ? "agent" : "tenant",
    written_by: agent,
    content_hash: "",
    supersedes: null,
    superseded_by: null,
    version,
    created_at: at,
    updated_at: at,
    expires_at: null,
    deleted_at: kind === "delete" ? at : null,
    hlc,
  };
}

/** Nothing is waited for there, so a process cannot die there either. */
function isRead(name: string | symbol): boolean {
  return ["get", "counts", "isPending", "outbox", "readFact", "rows", "deadLetters"].includes(String(name));
}

/** A new one each time: one for all would hold on to every world that ever waited for it. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** What a process sees: once it is dead nothing that it waits for comes. Whether it dies at a call or a return is asked each time. */
function gated<T extends object>(target: T, isAlive: () => boolean): T {
  return new Proxy(target, {
    get: (inner, name) => {
      const member: unknown = Reflect.get(inner, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        if (isRead(name)) return Reflect.apply(member, inner, args) as unknown;
        if (!isAlive()) return never();
        const result: unknown = Reflect.apply(member, inner, args);
        if (!(result instanceof Promise)) return result;
        return result.then(
          (value: unknown) => (isAlive() ? value : never()),
          (error: unknown) => (isAlive() ? Promise.reject(error as Error) : never()),
        );
      };
    },
  });
}
