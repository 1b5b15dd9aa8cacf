import type { MemoryRow } from "../../memory-row.ts";
import { compareHlc } from "../hlc.ts";
import { isAhead } from "../write-clock.ts";
import { ModelServer, unacceptable, versionOf } from "./model-server.ts";
import { SimClock } from "./sim-clock.ts";
import { calm, SimNetwork, type Weather } from "./sim-network.ts";
import { SimReplica, writeOf, type WriteKind } from "./sim-replica.ts";

/** One thing that happens in a history. `who` is the number of a replica. */
export type Step =
  | { readonly does: "write"; readonly who: number; readonly key: number; readonly kind: WriteKind }
  | { readonly does: "write there"; readonly who: number; readonly key: number }
  | { readonly does: "wait"; readonly ms: number }
  | { readonly does: "cut"; readonly who: number; readonly ms: number }
  | { readonly does: "crash"; readonly who: number; readonly ms: number }
  | { readonly does: "new machine"; readonly who: number }
  | { readonly does: "crash server"; readonly ms: number }
  | { readonly does: "set clock"; readonly who: number; readonly skewMs: number }
  | { readonly does: "back up" }
  | { readonly does: "new epoch"; readonly restores: boolean }
  | { readonly does: "purge" }
  | { readonly does: "mark"; readonly key: number }
  | { readonly does: "open transaction"; readonly ms: number }
  | { readonly does: "limit batches"; readonly maxRows: number }
  | { readonly does: "sync"; readonly who: number }
  | { readonly does: "retry dead letters"; readonly who: number };

export interface History {
  readonly seed: number;
  readonly weather: Weather;
  readonly steps: readonly Step[];
}

/** What a history led to, and what is wrong with it: nothing, if the engine is right. */
export interface Outcome {
  readonly wrong: readonly string[];
  readonly acknowledged: number;
  readonly deadLetters: number;
}

/** Two machines of one agent and one of another, each with its own memories and some ids that all of them use. */
export const machines = [
  ["a1", "a"],
  ["a2", "a"],
  ["b1", "b"],
] as const;

/** Runs a history, then gives everybody a quiet time, then looks. */
export async function simulate(history: History): Promise<Outcome> {
  const world = new World(history);
  for (const step of history.steps) await world.happen(step);
  await world.quiet();
  return world.outcome();
}

class World {
  readonly #clock = new SimClock();
  readonly #random: () => number;
  readonly #weather: Weather;
  readonly #server: ModelServer;
  readonly #network: SimNetwork;
  readonly #replicas: readonly SimReplica[];
  readonly #cuts = new Map<SimReplica, number>();
  /** Acknowledged writes that a restored backup took back from the server after it had confirmed them, or what they gave way to. */
  readonly #takenBack = new Set<MemoryRow>();
  readonly #purged = new Map<string, MemoryRow>();
  #writes = 0;

  constructor(history: History) {
    const { seed, weather } = history;
    const clock = this.#clock;
    const random = (this.#random = mulberry32(seed));
    this.#weather = { ...weather };
    this.#server = new ModelServer(() => clock.now());
    this.#network = new SimNetwork({
      clock,
      server: this.#server,
      weather: this.#weather,
      random,
      onCommit: () => this.#hintAll(),
    });
    this.#replicas = machines.map(([name, agent]) => {
      const isCut = (): boolean => (this.#cuts.get(replica) ?? 0) > clock.now();
      const server = this.#network.connect(agent, isCut);
      const onServer = (): readonly MemoryRow[] => this.#server.readable(agent);
      const wasOnServer = (row: MemoryRow): boolean => this.#server.versions.has(versionOf(row));
      const parts = { name, agent, clock, random, server, weather: this.#weather, onServer, wasOnServer };
      const replica: SimReplica = new SimReplica(parts);
      return replica;
    });
  }

  async happen(step: Step): Promise<void> {
    const clock = this.#clock;
    switch (step.does) {
      case "write": {
        const replica = this.#replica(step.who);
        const id = idOf(step.key, replica.agent);
        const content = step.kind === "refused" ? unacceptable : `text ${++this.#writes}`;
        replica.write(id, step.kind, content);
        break;
      }
      case "write there": {
        const replica = this.#replica(step.who);
        replica.writeThere(idOf(step.key, replica.agent), `text ${++this.#writes}`);
        break;
      }
      case "wait":
        await clock.run(step.ms);
        break;
      case "cut":
        this.#cuts.set(this.#replica(step.who), clock.now() + step.ms);
        break;
      case "crash": {
        const replica = this.#replica(step.who);
        replica.crash();
        clock.after(step.ms, () => replica.start());
        break;
      }
      case "new machine":
        this.#replica(step.who).newMachine();
        break;
      case "crash server":
        this.#network.serverDown();
        clock.after(step.ms, () => this.#network.serverUp());
        break;
      case "set clock":
        this.#replica(step.who).skewMs = step.skewMs;
        break;
      case "back up":
        this.#server.backUp();
        break;
      case "new epoch":
        this.#newEpoch(step.restores);
        break;
      case "purge":
        for (const row of this.#server.purge()) this.#purged.set(row.id, row);
        break;
      case "mark":
        this.#server.mark(idOf(step.key, "a"));
        this.#hintAll();
        break;
      case "open transaction": {
        const tx = this.#server.beginTransaction();
        clock.after(step.ms, () => this.#server.endTransaction(tx));
        break;
      }
      case "limit batches":
        this.#server.maxRows = step.maxRows;
        break;
      case "sync":
        this.#replica(step.who).sync();
        break;
      case "retry dead letters":
        this.#replica(step.who).retryDeadLetters();
        break;
    }
  }

  /** Everything works and nothing happens, until all is said or it is clear that it never will be. */
  async quiet(): Promise<void> {
    Object.assign(this.#weather, calm);
    this.#cuts.clear();
    await this.#clock.run(15_000); // what was delayed arrives, what is down comes up
    this.#network.serverUp();
    for (const replica of this.#replicas) replica.start();
    for (let minute = 0; minute < 12; minute++) {
      await this.#clock.run(60_000);
      if (minute > 0 && this.#differences().length === 0) return;
    }
  }

  outcome(): Outcome {
    return {
      wrong: [
        ...this.#differences(),
        ...this.#lostWrites(),
        ...this.#untold(),
        ...this.#replicas.flatMap(({ mistold }) => mistold),
      ],
      acknowledged: this.#replicas.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0),
      deadLetters: this.#replicas.reduce((sum, { data }) => sum + data.dead.size, 0),
    };
  }

  #replica(who: number): SimReplica {
    return this.#replicas[who % this.#replicas.length]!; // there are three
  }

  #hintAll(): void {
    for (const replica of this.#replicas) {
      if (this.#random() < this.#weather.lost) continue;
      this.#clock.after(this.#random() * this.#weather.slowMs, () => replica.engine?.hint());
    }
  }

  #newEpoch(restores: boolean): void {
    this.#network.replaced();
    if (restores) {
      for (const replica of this.#replicas) {
        for (const { row } of replica.acknowledged) {
          const isWaiting = replica.data.outbox.get(row.id)?.row.content === row.content;
          if (!isWaiting || replica.hasSeen(row)) this.#takenBack.add(row);
        }
      }
    }
    const before = this.#server.all();
    this.#server.newEpoch({ restores });
    const after = new Set(this.#server.all().map(versionOf));
    for (const row of before)
      if (!after.has(versionOf(row))) for (const replica of this.#replicas) replica.isNews(row.id);
  }

  /** Replicas that are not what their agent may read on the server, or still have something to say. */
  #differences(): string[] {
    return this.#replicas.flatMap(({ name, agent, data }) => {
      const wrong: string[] = [];
      if (data.outbox.size > 0) wrong.push(`${name} still has ${data.outbox.size} to push`);
      const mine = shown([...data.rows.values()]);
      const theirs = shown(this.#server.readable(agent));
      if (mine !== theirs) wrong.push(`${name} has\n${mine}\nthe server has\n${theirs}`);
      return wrong;
    });
  }

  #lostWrites(): string[] {
    return this.#replicas.flatMap((replica) =>
      replica.acknowledged.flatMap(({ row, atMs }, place) => {
        const isOverwrittenHere = replica.acknowledged
          .slice(place + 1)
          .some((later) => later.row.id === row.id);
        if (isOverwrittenHere || this.#takenBack.has(row)) return [];
        const final = this.#server.get(row.id);
        const isOlderOwn = replica.acknowledged
          .slice(0, place)
          .some((earlier) => final?.content !== "" && final?.content === earlier.row.content);
        // Its own dead letter, or that of a later write of this machine that took its place. By the clock; or, where that was out of
        // bounds and the later one was put right, by the time.
        const isLater = (other: MemoryRow): boolean =>
          compareHlc(other.hlc, row.hlc) > 0 ||
          (isAhead(row.hlc, atMs) && other.created_at >= row.created_at);
        const isDead = [...replica.data.dead.values()].some(
          (letter) => isSame(letter.row, row) || (letter.row.id === row.id && isLater(letter.row)),
        );
        if (isDead || (!isOlderOwn && this.#isAccountedFor(row, atMs))) return [];
        return [`${replica.name} lost ${JSON.stringify(row)}; the server has ${JSON.stringify(final)}`];
      }),
    );
  }

  #isAccountedFor(row: MemoryRow, atMs: number): boolean {
    const final = this.#server.get(row.id);
    const purged = this.#purged.get(row.id);
    if (purged !== undefined && (isTombstone(row) || compareHlc(purged.hlc, row.hlc) >= 0)) return true;
    if (final === undefined) return false;
    if (isSame(final, row)) return true;
    // A clock out of bounds says nothing about what is later: there the order of the server counts, or what a right clock had said.
    if (isAhead(row.hlc, atMs))
      return (this.#server.committedMs(row.id) ?? 0) >= atMs || final.hlc.ms >= atMs;
    return compareHlc(final.hlc, row.hlc) > 0;
  }

  /** What listeners believe, where it is not so. */
  #untold(): string[] {
    return this.#replicas.flatMap(({ name, agent, told, loaded }) => {
      const living = new Map(
        this.#server
          .readable(agent)
          .filter((row) => !isTombstone(row))
          .map((row) => [row.id, row]),
      );
      const wrong: string[] = [];
      for (const [id, row] of told) {
        const now = living.get(id);
        if (JSON.stringify([now?.hlc, now?.version]) !== JSON.stringify([row?.hlc, row?.version]))
          wrong.push(`${name} was told ${JSON.stringify(row)} of ${id}, which is ${JSON.stringify(now)}`);
      }
      for (const [id, row] of living) {
        if (!told.has(id) && loaded?.has(writeOf(row)) !== true)
          wrong.push(`${name} was never told of ${JSON.stringify(row)}`);
      }
      return wrong;
    });
  }
}

export function idOf(key: number, agent: string): string {
  return key < 3 ? `shared-${key}` : `${agent}-${key}`;
}

function shown(rows: readonly MemoryRow[]): string {
  return rows
    .filter((row) => !isTombstone(row))
    .map(
      (row) =>
        `${row.id} v${row.version} ${row.superseded_by} ${row.content} ${row.scope} ${JSON.stringify(row.hlc)}`,
    )
    .toSorted()
    .join("\n");
}

function isSame(a: MemoryRow, b: MemoryRow): boolean {
  return a.id === b.id && a.content === b.content && isTombstone(a) === isTombstone(b);
}

function isTombstone(row: MemoryRow): boolean {
  return row.deleted_at !== null;
}

/** Random numbers from a seed, from 0 up to 1. */
export function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
