import type { Backoff } from "../../runtime/backoff.ts";
import { sleep, withDeadline, type Clock } from "../../runtime/clock.ts";
import { Emitter, type ListenOptions, type Listener } from "../../runtime/emitter.ts";
import { FederationError, isFederationError, toError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/log.ts";
import { Scope } from "../../runtime/scope.ts";
import { noTracing, type Tracing } from "../../runtime/tracing.ts";
import type { TenantStore } from "../local/local-store.ts";
import type { Hlc, MemoryFilter } from "../memory-row.ts";
import { Admission } from "./admission.ts";
import { coverageOf, filterKeyOf, type Coverage, type SyncFilter } from "./coverage.ts";
import { Doubts } from "./doubts.ts";
import { isAtStart } from "./position.ts";
import { Puller, type PullSummary } from "./puller.ts";
import { Pusher, type Ask, type PushSummary } from "./pusher.ts";
import { Rounds } from "./rounds.ts";
import { ServerTime } from "./server-time.ts";
import type { SyncServer } from "./sync-server.ts";
import type { SyncEvents, SyncState, SyncSummary } from "./sync-state.ts";
import { WriteClock } from "./write-clock.ts";

export const defaultMaxLocalMemories = 100_000;

export interface SyncEngineOptions {
  readonly store: TenantStore;
  readonly server: SyncServer;
  /** Of this process: no two processes may write under the same name. */
  readonly writer: string;
  /** False stops both directions and nothing else. */
  readonly isEnabled: boolean;
  /** Milliseconds between two looks at the server where no hint comes. */
  readonly syncIntervalMs: number;
  /** Milliseconds that one request may take. */
  readonly requestTimeoutMs: number;
  /** Default: everything. */
  readonly syncFilter?: SyncFilter | undefined;
  /** The newest stay. Default 100,000. */
  readonly maxLocalMemories?: number | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly tracing?: Tracing;
}

type Direction = "up" | "down";

const backoff: Backoff = { minMs: 250, maxMs: 30_000 };
const lookAfterMs = 50;
const heldBackWaitMs = 2_000;
const heldBackPauseMs = 50;

/**
 * Keeps the store of a tenant and its server alike. Rules and their tests: SPEC.md. Two loops run until `close()`: one brings the outbox
 * up, one brings changes down; they begin after the turn in which this is made. Whatever is lost on the way (hints, answers, this process) costs time, never data.
 */
export class SyncEngine {
  readonly #options: SyncEngineOptions;
  readonly #scope: Scope;
  readonly #emitter: Emitter<SyncEvents>;
  readonly #time: ServerTime;
  readonly #writeClock: WriteClock;
  readonly #doubts: Doubts;
  readonly #admission: Admission;
  readonly #puller: Puller;
  readonly #pushes: Rounds<PushSummary>;
  readonly #pulls: Rounds<PullSummary>;
  readonly #filter: SyncFilter;
  #pushed = 0;
  #pulled = 0;
  #answered = 0;
  #isOnline = false;
  /** What each direction last failed with; none since it went well. */
  readonly #errors = new Map<Direction, NonNullable<SyncState["lastError"]>>();
  #pulledAtMs: number | undefined;
  #behindSinceMs: number | undefined;
  #told = "";
  #cancelLook: (() => void) | undefined;

  constructor(options: SyncEngineOptions) {
    const { store, server, clock, random, log, writer, syncIntervalMs: intervalMs } = options;
    const { tracing = noTracing } = options;
    const maxLocalMemories = options.maxLocalMemories ?? defaultMaxLocalMemories;
    this.#options = options;
    this.#filter = options.syncFilter ?? {};
    this.#scope = new Scope((error) => log("error", "a task of the sync failed", { error }));
    this.#emitter = new Emitter((error, event) =>
      log("error", "a listener of the sync failed", { event, error }),
    );
    this.#time = new ServerTime(clock, store);
    this.#writeClock = new WriteClock({ facts: store, time: this.#time, writer, log });
    this.#doubts = new Doubts(store);
    this.#admission = new Admission({ store, filter: this.#filter, maxLocalMemories });
    const shared = {
      store,
      server,
      ask: this.#ask,
      time: this.#time,
      writeClock: this.#writeClock,
      doubts: this.#doubts,
    };
    this.#puller = new Puller({
      ...shared,
      writer,
      clock,
      admission: this.#admission,
      filterKey: filterKeyOf(this.#filter, maxLocalMemories),
      onPulled: (rows) => {
        this.#pulled += rows;
        this.#look();
      },
      onChanges: (changes) => void this.#emitter.emit("changes", { changes }),
    });
    const pusher = new Pusher({
      ...shared,
      isAtStart: () => isAtStart(this.#puller.position),
      learnTime: () => this.#pulls.force(),
      answered: () => this.#answered,
      onSending: (rows) => this.#puller.sending(rows),
      onSettled: ({ pushed, refused }) => {
        this.#pushed += pushed;
        // Refused rows are not what the server has: the pulling side puts that right.
        if (refused > 0) this.#pulls.wake();
        this.#look();
      },
      onRefused: (letters) => void this.#emitter.emit("refused", { letters }),
    });
    const rounds = { clock, random, backoff, intervalMs };
    this.#pushes = new Rounds({
      ...rounds,
      onFailure: (error) => this.#failed("up", error),
      round: (signal) =>
        tracing.span(
          { name: "sync push", kind: "client", attributes: {} },
          () => this.#push(pusher, signal),
          ({ pushed, refused }) => ({ "memory.pushed": pushed, "memory.refused": refused }),
        ),
    });
    this.#pulls = new Rounds({
      ...rounds,
      onFailure: (error) => this.#failed("down", error),
      round: (signal) =>
        tracing.span(
          { name: "sync pull", kind: "client", attributes: {} },
          () => this.#pull(signal),
          ({ pulled }) => ({ "memory.pulled": pulled }),
        ),
      isUnfinished: ({ isHeldBack }) => isHeldBack,
    });
    this.#scope.defer(() => this.#cancelLook?.());
    if (!options.isEnabled) return;
    // Not at once: whoever made this has yet to listen, and what a process before could not tell is told first of all.
    this.#scope.run((signal) => Promise.resolve().then(() => this.#pushes.run(signal)));
    this.#scope.run((signal) => Promise.resolve().then(() => this.#pulls.run(signal)));
  }

  on<K extends keyof SyncEvents>(
    event: K,
    listener: Listener<SyncEvents[K]>,
    options?: ListenOptions,
  ): () => void {
    return this.#emitter.on(event, listener, options);
  }

  /** The clock for a write of this process that replaces `held`. */
  stamp(held?: Hlc): Hlc {
    return this.#writeClock.stamp(held);
  }

  /** The server's time as far as it is known: what expires, expires by it. */
  nowMs(): number {
    return this.#time.now();
  }

  /** Something was written to the outbox. */
  wrote(): void {
    this.#pushes.wake();
    this.#lookSoon();
  }

  /** The server may have something new. Called for nothing, it costs a request. */
  hint(): void {
    if (!this.#options.isEnabled) return;
    this.#behindSinceMs ??= this.#options.clock.now();
    this.#pulls.wake();
  }

  /** Whether a search narrowed to `asked` finds here all that the tenant has, as far as this replica has heard. */
  coverage(asked?: MemoryFilter): Coverage {
    const isLoaded = this.#options.isEnabled && this.#puller.position.phase === "live";
    return coverageOf({ isLoaded, filter: this.#filter, floorMs: this.#admission.floorMs }, asked);
  }

  get state(): SyncState {
    const { store, isEnabled, clock } = this.#options;
    const { pending, dead } = store.counts(this.#time.now());
    const { position } = this.#puller;
    const [oldest] = pending === 0 ? [] : store.outbox({ maxRows: 1, maxBytes: 1 });
    const upMs = oldest === undefined ? 0 : Math.max(0, this.#time.now() - oldest.row.hlc.ms);
    const downMs = this.#behindSinceMs === undefined ? 0 : Math.max(0, clock.now() - this.#behindSinceMs);
    return {
      phase: isEnabled ? position.phase : "off",
      isOnline: this.#isOnline,
      pending,
      deadLetters: dead,
      pushed: this.#pushed,
      pulled: this.#pulled,
      lastError: [...this.#errors.values()].toSorted((a, b) => b.atMs - a.atMs)[0],
      lagMs: Math.max(upMs, downMs),
      pulledAtMs: this.#pulledAtMs,
      coverage: this.coverage(),
      cursor: position.phase === "comparing" ? undefined : position.cursor,
    };
  }

  /**
   * A round in both directions, now. Rejects with what stopped it, and with "invalid_state" where the sync is switched off. Calls that
   * come together share a round.
   */
  async sync({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<SyncSummary> {
    this.#requireEnabled("sync");
    const both = async (): Promise<SyncSummary> => {
      const [up] = await Promise.allSettled([this.#pushes.force()]);
      const { pulled, isHeldBack } = await this.#pullAll();
      if (up.status === "rejected") throw toError(up.reason);
      const { pending } = this.#options.store.counts(this.#time.now());
      return { ...up.value, pulled, isHeldBack, pending, coverage: this.coverage() };
    };
    return await abortable(both(), signal);
  }

  /** What waits goes up, now. Rejects with what stopped it. */
  async push({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<PushSummary> {
    this.#requireEnabled("push");
    return await abortable(this.#pushes.force(), signal);
  }

  /** Memories that this process has changed on the server itself, as they are there now. The pull that brings them tells of them. */
  async takeIn(ids: readonly string[]): Promise<void> {
    while (isAtStart(this.#puller.position)) await this.#pulls.force(); // until then nothing is asked about by id
    await this.#puller.takeIn(ids, this.#scope.signal);
    this.hint();
  }

  /** Resolves when the outbox is empty, however long that takes. Rejects with the reason of `signal`, or when this is closed. */
  async drain({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { store } = this.#options;
    const isEmpty = (): boolean => store.counts(this.#time.now()).pending === 0;
    if (isEmpty()) return;
    this.#requireEnabled("drain");
    if (signal?.aborted) throw toError(signal.reason);
    this.#pushes.wake();
    const stop = new AbortController();
    const empty = new Promise<void>((resolve, reject) => {
      this.#emitter.on("state", () => (isEmpty() ? resolve() : undefined), { signal: stop.signal });
      const onClosed = (): void => reject(toError(this.#scope.signal.reason));
      if (this.#scope.isClosed) onClosed();
      else this.#scope.signal.addEventListener("abort", onClosed, { signal: stop.signal });
    });
    await abortable(empty, signal).finally(() => stop.abort());
  }

  /** Ends both loops and waits for them. Nothing is lost: what was not sent is sent next time. Twice returns the same promise. */
  close(): Promise<void> {
    return this.#scope.close(new FederationError("closed", "the sync was closed"));
  }

  /** What others have committed is held back while a transaction of anybody is open, usually for a moment. */
  async #pullAll(): Promise<PullSummary> {
    const { clock } = this.#options;
    const giveUpMs = clock.now() + heldBackWaitMs;
    let sum = await this.#pulls.force();
    while (sum.isHeldBack && clock.now() < giveUpMs) {
      await sleep(clock, heldBackPauseMs, this.#scope.signal);
      const { pulled, isHeldBack } = await this.#pulls.force();
      sum = { pulled: sum.pulled + pulled, isHeldBack };
    }
    return sum;
  }

  async #push(pusher: Pusher, signal: AbortSignal): Promise<PushSummary> {
    const summary = await pusher.round(signal);
    if (this.#errors.delete("up")) this.#look(); // also where nothing was left to send
    return summary;
  }

  async #pull(signal: AbortSignal): Promise<PullSummary> {
    const { clock } = this.#options;
    const beganMs = clock.now();
    this.#behindSinceMs ??= beganMs;
    const summary = await this.#puller.round(signal);
    if (!summary.isHeldBack) {
      this.#pulledAtMs = clock.now();
      this.#behindSinceMs = undefined;
    }
    this.#look();
    return summary;
  }

  readonly #ask: Ask = async (attempt, task, signal) => {
    const { clock, requestTimeoutMs: ms } = this.#options;
    const error = (): Error => new FederationError("timeout", `${attempt}: no answer within ${ms} ms`);
    const answer = await withDeadline(task, { clock, ms, signal, error });
    if (attempt !== "push") this.#answered += 1;
    this.#isOnline = true;
    this.#errors.delete(attempt === "push" ? "up" : "down");
    return answer;
  };

  #failed(direction: Direction, error: Error): void {
    const { clock, log } = this.#options;
    const code = isFederationError(error) ? error.code : "unknown";
    const isNews = this.#errors.get(direction)?.code !== code;
    if (code === "unreachable" || code === "timeout") this.#isOnline = false;
    this.#errors.set(direction, { code, message: error.message, atMs: clock.now() });
    // A network that is away is nobody's fault; anything else somebody may have to look at, once.
    const isQuiet = code === "unreachable" || code === "timeout" || code === "busy";
    if (isNews) log(isQuiet ? "debug" : "error", "the sync failed and will try again", { code, error });
    this.#look();
  }

  #look(): void {
    const { state } = this;
    const facts = JSON.stringify({ ...state, lagMs: 0, pulledAtMs: 0 });
    if (facts === this.#told) return;
    this.#told = facts;
    this.#emitter.emit("state", state);
  }

  /** Once for a burst of writes: looking costs as much as one of them. */
  #lookSoon(): void {
    if (this.#cancelLook !== undefined || this.#scope.isClosed) return;
    this.#cancelLook = this.#options.clock.after(lookAfterMs, () => {
      this.#cancelLook = undefined;
      this.#look();
    });
  }

  #requireEnabled(attempt: string): void {
    if (this.#options.isEnabled) return;
    throw new FederationError("invalid_state", `${attempt}: the sync of memories is switched off`, {
      remedy: "Unset FEDERATION_MEMORY_SYNC",
    });
  }
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(toError(signal.reason));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
