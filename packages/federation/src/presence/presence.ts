import type { RealtimeChannel } from "@supabase/supabase-js";
import type { Clock } from "../runtime/clock.ts";
import { sleep } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, numberField, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import { Scope } from "../runtime/scope.ts";
import { parsePresence, type AgentPresence } from "./agent-presence.ts";
import { nextRosterMode, type RosterMode } from "./roster-mode.ts";
import { Roster, type Lost, type RosterChange, type Sighting } from "./roster.ts";
import type { SessionStatus } from "./session.ts";
import { TrackPace } from "./track-pace.ts";

export interface PresenceOptions {
  readonly agentId: string;
  readonly tenantId: string;
  readonly instanceId: string;
  readonly graceMs: number;
  readonly rosterThreshold: number;
  /** How often the sessions are read in a large room. */
  readonly relistMs: number;
  /** The plan's presence events a second, of the whole tenant; undefined where there is no limit. */
  readonly planPresencePerSecond: number | undefined;
  readonly capabilities: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface PresenceParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Whether what is said into the room arrives; otherwise it is said at the next join. */
  readonly isRoomJoined: () => boolean;
  /** Reads the sessions that are alive. */
  readonly listSessions: () => Promise<unknown>;
  readonly onChanges: (changes: readonly RosterChange[]) => void;
  /** The database told of this process's own session; with a reason where it has ended. */
  readonly onOwnSession: (endReason: string | undefined) => void;
  /** The whole of it was read. */
  readonly onSync: () => void;
}

const reviewAfterMs = 200;
const retryTrackMs = 2_000;
const trackTimeoutMs = 2_000;
// A digest of a large room comes within a second of the change.
const missedAfterMs = 2_500;
// All of a large room may have missed the same digest.
const readMissedWithinMs = 1_000;
// In a large room the feed tells of every change, and the heartbeat's answer of what the feed has lost.
const relistInLargeRooms = 10;
const relistInSmallRooms = 4;
// Those who did not track while the room was large have begun by then.
const hideSessionsAfterMs = 10_000;
const beginTrackingWithinMs = 2_000;

/** Shows this agent to the others and knows who else is here. */
export class Presence {
  readonly roster: Roster;
  readonly #options: PresenceOptions;
  readonly #parts: PresenceParts;
  readonly #scope: Scope;
  readonly #timers = new Map<string, () => void>();
  readonly #visibleWaiters = new Set<() => void>();
  readonly #startedAt: string;
  #mode: RosterMode = "presence";
  /** Not before it is decided whether this room is one to be seen in. */
  #isTracking = false;
  #status = "online";
  #task: string | undefined;
  #load: number | undefined;
  /** Every change of a session up to here was heard of or read. */
  #knownSeq = 0;
  /** The newest change that anybody told of, whether this process heard it or not. */
  #toldSeq = 0;
  /** Changes that waited for the server's limit on presence calls, or for the plan, and were told as one. */
  #coalesced = 0;
  #channel: RealtimeChannel | undefined;
  readonly #pace: TrackPace;
  /** Until the server has taken the last presence call. */
  #tracking: Promise<void> | undefined;

  constructor(options: PresenceOptions, parts: PresenceParts) {
    this.#options = options;
    this.#parts = parts;
    this.roster = new Roster({ graceMs: options.graceMs, selfId: options.agentId });
    this.#scope = new Scope((error) => parts.log("error", "a presence task failed", { error }));
    const { clock, random } = parts;
    const planPerSecond = options.planPresencePerSecond;
    this.#pace = new TrackPace({ clock, random, planPerSecond, processes: () => this.roster.instances });
    this.#startedAt = new Date(parts.clock.now()).toISOString();
  }

  get mode(): RosterMode {
    return this.#mode;
  }

  /**
   * Reads the sessions and decides from their number whether to be seen by presence. Call when the feed is joined: what happens from then on
   * is announced.
   */
  async start(): Promise<void> {
    await this.#syncSessions();
    const { rosterThreshold } = this.#options;
    // Not far below the threshold some may not have begun to be seen by presence.
    this.#mode = nextRosterMode("sessions", this.roster.instances, rosterThreshold);
    if (this.#mode === "sessions") this.#apply(this.roster.countSessions(true, this.#parts.clock.now()));
    this.#isTracking = this.roster.instances <= rosterThreshold;
    this.#cancel("begin"); // a slow answer may have left time to consider it
    this.#track();
    this.#scope.run((signal) => this.#relist(signal));
  }

  /** Adds the presence handlers to a new room channel. */
  bind(channel: RealtimeChannel): void {
    let isSynced = false; // until the first state of this channel its diffs say nothing
    channel.on("presence", { event: "sync" }, () => {
      if (isSynced) return;
      isSynced = true;
      const all = Object.entries(channel.presenceState()).flatMap(([key, metas]) =>
        this.#sightings(key, metas),
      );
      this.#pace.heardBefore(
        all
          .filter(({ presence }) => presence.instance_id !== this.#options.instanceId)
          .map(({ presence }) => Date.parse(presence.last_heartbeat))
          .filter(Number.isFinite),
      );
      this.#apply(this.roster.syncPresence(all, this.#parts.clock.now()));
      this.#parts.onSync();
    });
    channel.on(
      "presence",
      { event: "join" },
      ({ key, newPresences }: { key: string; newPresences: unknown }) => {
        if (!isSynced) return;
        const seen = this.#sightings(key, newPresences);
        this.#pace.heard(
          seen.filter(({ presence }) => presence.instance_id !== this.#options.instanceId).length,
        );
        this.#apply(this.roster.sawPresence(seen, this.#parts.clock.now()));
      },
    );
    channel.on(
      "presence",
      { event: "leave" },
      ({ key, leftPresences, currentPresences }: { [name: string]: unknown; key: string }) => {
        if (!isSynced) return;
        const lost: Lost[] = this.#sightings(key, leftPresences).map(({ ref, presence }) => ({
          agentId: presence.agent_id,
          ref,
        }));
        // Where something stays it was a change, of which the join has told.
        if (this.#sightings(key, currentPresences).length === 0) this.#pace.heard(lost.length);
        this.#apply(this.roster.lostPresence(lost, this.#parts.clock.now()));
      },
    );
  }

  /** After every join of the room: the server has forgotten this agent, and supabase-js does not show it again. */
  joined(channel: RealtimeChannel): void {
    this.#channel = channel;
    this.#pace.newChannel();
    this.#cancel("track");
    this.#track();
  }

  /** After the feed was lost for a while: sessions may have come and gone meanwhile. */
  feedIsBack(): void {
    this.#scope.run(() => this.#readSessions());
  }

  setStatus({ status, task, load }: SessionStatus): void {
    this.#status = status;
    this.#task = task;
    this.#load = load ?? this.#load;
    this.#track();
  }

  /** How many changes the others saw late, as part of a later one. */
  get coalesced(): number {
    return this.#coalesced;
  }

  /** Shows this agent again although nothing changed, after others may have taken it for gone. */
  showAgain(): void {
    this.#track();
  }

  /** What others see of this agent. */
  get shown(): AgentPresence {
    const { agentId, tenantId, instanceId, metadata, capabilities } = this.#options;
    return {
      agent_id: agentId,
      tenant_id: tenantId,
      instance_id: instanceId,
      status: this.#status,
      task: this.#task,
      started_at: this.#startedAt,
      last_heartbeat: new Date(this.#parts.clock.now()).toISOString(),
      metadata,
      capabilities,
      load: this.#load,
    };
  }

  get status(): SessionStatus {
    return { status: this.#status, task: this.#task, load: this.#load };
  }

  /** A `sessions` event of the feed: what changed, in one or many of them. */
  heardSessions(payload: unknown): void {
    if (!isRecord(payload) || !Array.isArray(payload["sessions"])) return;
    const told: readonly unknown[] = payload["sessions"];
    const nowMs = this.#parts.clock.now();
    // A digest names the one before it.
    const afterSeq = numberField(payload, "after") ?? 0;
    const isNext = afterSeq <= this.#knownSeq;
    this.#apply(told.filter(isRecord).flatMap((session) => this.#heardSession(session, nowMs)));
    if (isNext) this.#knownSeq = Math.max(this.#knownSeq, ...told.map(seqOf));
    else this.#readMissed(afterSeq, this.#parts.random() * readMissedWithinMs);
  }

  /** The newest change of a session that the database knows of: what is not heard soon was missed. */
  position(seq: number): void {
    this.#readMissed(seq, missedAfterMs);
  }

  #readMissed(seq: number, withinMs: number): void {
    this.#toldSeq = Math.max(this.#toldSeq, seq);
    if (this.#toldSeq <= this.#knownSeq || this.#timers.has("missed")) return;
    this.#after("missed", withinMs, () => {
      if (this.#toldSeq > this.#knownSeq) this.#scope.run(() => this.#readSessions());
    });
  }

  #heardSession(session: Readonly<Record<string, unknown>>, nowMs: number): RosterChange[] {
    const { tenantId, instanceId } = this.#options;
    const said = parsePresence({ ...session, tenant_id: tenantId });
    if (said === undefined) return [];
    this.#toldSeq = Math.max(this.#toldSeq, seqOf(session));
    const isOwn = said.instance_id === instanceId;
    if (isOwn) this.#parts.onOwnSession(stringField(session, "end_reason"));
    if (session["ended_at"] != null) {
      return this.roster.endedSession(said, stringField(session, "end_reason") ?? "gone", nowMs);
    }
    // Metadata that is not small is not told; it stays as it was read.
    const known = this.roster.session(said.agent_id, said.instance_id);
    const metadata = session["metadata"] === undefined ? known?.metadata : said.metadata;
    return this.roster.sawSession({ ...said, metadata: metadata ?? {} }, nowMs);
  }

  /** Resolves when this agent is in its own list. */
  whenVisible(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        this.#visibleWaiters.delete(look);
        signal.removeEventListener("abort", onAbort);
        settle();
      };
      const onAbort = (): void => done(() => reject(signal.reason as Error)); // whoever aborted gave an error
      const look = (): void => {
        if (this.roster.has(this.#options.agentId)) done(resolve);
      };
      if (signal.aborted) return onAbort();
      this.#visibleWaiters.add(look);
      signal.addEventListener("abort", onAbort, { once: true });
      look();
    });
  }

  async close(): Promise<void> {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#channel = undefined;
    await this.#scope.close(new FederationError("closed", "presence was closed"));
    await this.#tracking; // its timer would keep the process alive
  }

  #apply(changes: readonly RosterChange[]): void {
    const { clock } = this.#parts;
    if (changes.length > 0) this.#parts.onChanges(changes);
    for (const look of Array.from(this.#visibleWaiters)) look();
    const dueMs = this.roster.nextDueMs;
    if (dueMs === undefined) this.#cancel("due");
    else this.#after("due", dueMs - clock.now(), () => this.#apply(this.roster.due(clock.now())));
    if (!this.#timers.has("review")) this.#after("review", reviewAfterMs, () => this.#reviewMode());
  }

  #reviewMode(): void {
    this.#reviewTracking();
    const next = nextRosterMode(this.#mode, this.roster.instances, this.#options.rosterThreshold);
    if (next === this.#mode) return;
    const { clock, log } = this.#parts;
    this.#mode = next;
    log("info", "the list of agents has another source", { source: next, instances: this.roster.instances });
    if (next === "sessions") {
      this.#cancel("hide");
      this.#apply(this.roster.countSessions(true, clock.now()));
      this.#scope.run(() => this.#readSessions());
      return;
    }
    this.#after("hide", hideSessionsAfterMs, () =>
      this.#apply(this.roster.countSessions(false, clock.now())),
    );
  }

  /** Whoever was silent in a large room is seen as soon as the room is small enough, before anybody looks at presence alone. */
  #reviewTracking(): void {
    if (this.#isTracking) return;
    if (this.roster.instances > this.#options.rosterThreshold) return this.#cancel("begin");
    if (this.#timers.has("begin")) return;
    this.#after("begin", this.#parts.random() * beginTrackingWithinMs, () => {
      this.#isTracking = true;
      this.#track();
    });
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#parts;
    for (let round = 1; !signal.aborted; round++) {
      await sleep(clock, this.#options.relistMs * (0.75 + random() / 2), signal).catch(() => {});
      // In a small room the sessions only tell when it has grown large, which the feed says as well.
      const every = this.#mode === "sessions" ? relistInLargeRooms : relistInSmallRooms;
      if (!signal.aborted && round % every === 0) await this.#readSessions();
    }
  }

  async #readSessions(): Promise<void> {
    try {
      await this.#syncSessions();
      if (!this.#scope.isClosed) this.#parts.onSync();
    } catch (error) {
      if (!this.#scope.isClosed) this.#parts.log("debug", "the sessions could not be read", { error });
    }
  }

  async #syncSessions(): Promise<void> {
    const { clock } = this.#parts;
    const askedAtMs = clock.now();
    const toldSeq = this.#toldSeq; // of what has ended the answer says nothing
    const rows = await this.#parts.listSessions();
    if (this.#scope.isClosed) return;
    if (!Array.isArray(rows))
      throw new FederationError("protocol", `list_sessions: expected an array, got ${typeof rows}`);
    // Newest first from the database; the newest goes last here.
    const sessions = rows.toReversed().flatMap((row: unknown) => parsePresence(row) ?? []);
    this.#knownSeq = Math.max(this.#knownSeq, toldSeq, ...rows.map(seqOf));
    this.#apply(this.roster.syncSessions(sessions, askedAtMs, clock.now()));
  }

  /** Shows this agent now, or as soon as the server's limit and the plan allow; the last value wins. */
  #track(): void {
    const { log } = this.#parts;
    const channel = this.#channel;
    if (channel === undefined || !this.#isTracking || !this.#parts.isRoomJoined()) return;
    if (this.#timers.has("track")) return void this.#coalesced++;
    const waitMs = this.#pace.waitMs();
    if (waitMs > 0) return this.#after("track", waitMs, () => this.#track());
    this.#pace.called();
    this.#tracking = channel.track({ ...this.shown }, { timeout: trackTimeoutMs }).then((result) => {
      if (result === "ok" || channel !== this.#channel || this.#scope.isClosed) return;
      log("debug", "presence was not taken", { result });
      this.#after("track", retryTrackMs, () => this.#track());
    });
  }

  #after(name: string, ms: number, run: () => void): void {
    this.#cancel(name);
    if (this.#scope.isClosed) return;
    const cancel = this.#parts.clock.after(Math.max(0, ms), () => {
      this.#timers.delete(name);
      run();
    });
    this.#timers.set(name, cancel);
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  /** What supabase-js keeps under a presence key; what does not parse, or names another tenant, is not there. */
  #sightings(key: string, metas: unknown): Sighting[] {
    if (!Array.isArray(metas)) return [];
    return metas.flatMap((meta: unknown) => {
      const presence = parsePresence(meta, key);
      const ref = isRecord(meta) ? stringField(meta, "presence_ref") : undefined;
      const isOurs = presence !== undefined && presence.tenant_id === this.#options.tenantId;
      return isOurs && ref !== undefined ? [{ ref, presence }] : [];
    });
  }
}

function seqOf(session: unknown): number {
  return (isRecord(session) ? numberField(session, "seq") : undefined) ?? 0;
}
