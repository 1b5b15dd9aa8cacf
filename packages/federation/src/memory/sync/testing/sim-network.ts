import { FederationError } from "../../../runtime/errors.ts";
import type { MemoryRow } from "../../memory-row.ts";
import type { PushAnswer, SyncServer } from "../sync-server.ts";
import type { ModelServer, OpenPush } from "./model-server.ts";
import type { SimClock } from "./sim-clock.ts";

/** How bad it is: shares from 0 to 1. */
export interface Weather {
  /** Requests, and answers, that never arrive; half of them fail at once, half are silence. */
  lost: number;
  /** Pushes that arrive a second time, later. */
  repeated: number;
  /** Answers "busy", with Retry-After. */
  busy: number;
  /** Calls of a process, and returns to it, at which it dies. */
  deadly: number;
  /** The longest way, in milliseconds. */
  slowMs: number;
}

export const calm: Weather = { lost: 0, repeated: 0, busy: 0, deadly: 0, slowMs: 20 };

export interface SimNetworkParts {
  readonly clock: SimClock;
  readonly server: ModelServer;
  readonly weather: Weather;
  readonly random: () => number;
  /** A push was committed. */
  readonly onCommit: () => void;
}

/** The server, and what an adapter asks of it itself. */
export interface SimServer extends SyncServer {
  store(row: MemoryRow): Promise<readonly PushAnswer[]>;
}

/** The way between agents and the server: it loses, repeats, delays and is cut. */
export class SimNetwork {
  readonly #parts: SimNetworkParts;
  /** Grows when the server goes down or is replaced: whatever was under way is gone. */
  #serverRun = 0;
  #isServerDown = false;

  constructor(parts: SimNetworkParts) {
    this.#parts = parts;
  }

  serverDown(): void {
    this.#isServerDown = true;
    this.#serverRun += 1;
  }

  serverUp(): void {
    this.#isServerDown = false;
  }

  /** Connections break; the server goes on. */
  replaced(): void {
    this.#serverRun += 1;
  }

  /** The server as one agent reaches it. */
  connect(agent: string, isCut: () => boolean): SimServer {
    const { server, clock, weather, random } = this.#parts;
    const push: SyncServer["push"] = (rows) => {
      const arrive = (): Promise<readonly PushAnswer[]> => this.#commit(() => server.begin(agent, rows));
      if (random() < weather.repeated) {
        const run = this.#serverRun;
        clock.after(random() * 20 * weather.slowMs, () => {
          if (run === this.#serverRun && !this.#isServerDown) void arrive().catch(() => undefined);
        });
      }
      return this.#travel(isCut, arrive);
    };
    return {
      push,
      store: (row) => this.#travel(isCut, () => this.#commit(() => server.beginStore(agent, row))),
      pull: (cursor, { maxRows, writer }) =>
        this.#travel(isCut, () => Promise.resolve(server.pull(agent, cursor, Math.min(maxRows, 3), writer))),
      read: (ids) => this.#travel(isCut, () => Promise.resolve(server.read(agent, ids))),
    };
  }

  async #commit(begin: () => OpenPush): Promise<readonly PushAnswer[]> {
    const { clock, weather, random, onCommit } = this.#parts;
    const transaction = begin();
    const run = this.#serverRun;
    await clock.sleep(random() * weather.slowMs);
    if (run !== this.#serverRun) {
      transaction.rollBack();
      throw unreachable();
    }
    const answers = transaction.commit();
    onCommit();
    return answers;
  }

  async #travel<T>(isCut: () => boolean, arrive: () => Promise<T>): Promise<T> {
    const { clock, weather, random } = this.#parts;
    const run = this.#serverRun;
    const pass = async (): Promise<void> => {
      await clock.sleep(1 + random() * weather.slowMs);
      if (random() < weather.lost) {
        if (random() < 0.5) throw unreachable();
        await new Promise<never>(() => undefined);
      }
      if (isCut() || this.#isServerDown || run !== this.#serverRun) throw unreachable();
    };
    await pass();
    if (random() < weather.busy)
      throw new FederationError("busy", "come back later (503)", {
        cause: { retryAfterMs: random() * 5_000 },
      });
    const answer = await arrive();
    await pass();
    return answer;
  }
}

function unreachable(): FederationError {
  return new FederationError("unreachable", "the simulated network is away");
}
