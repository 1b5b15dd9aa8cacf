import type { AgentPresence } from "./agent-presence.ts";

/** One thing that was seen: a presence under its reference. */
export interface Sighting {
  readonly ref: string;
  readonly presence: AgentPresence;
}

export interface Lost {
  readonly agentId: string;
  readonly ref: string;
}

/** What changed for those who watch. */
export interface RosterChange {
  readonly type: "join" | "update" | "leave";
  readonly agentId: string;
  /** What is known now; for a leave, what was known last. */
  readonly presences: readonly AgentPresence[];
  /** Of a leave: `shutdown` when the agent said good-bye, `timeout` when its session was silent for too long, else `gone`. */
  readonly reason: string | undefined;
}

interface Entry {
  /** By presence reference, newest last. */
  readonly byRef: Map<string, SeenPresence>;
  /** By instance: what the sessions in the database say, newest last. */
  readonly bySession: Map<string, SeenSession>;
  /** What watchers were told last; empty before the join. */
  told: readonly AgentPresence[];
  goneAtMs: number | undefined;
  /** Why its last session ended, where the database said. */
  endReason: string | undefined;
}

interface SeenPresence {
  readonly presence: AgentPresence;
  readonly seenAtMs: number;
  /** The database knows of no such process: anybody in the room can claim to be anybody. */
  isDenied: boolean;
}

// A process that is frozen and takes part again shows itself again.
const finalReasons: ReadonlySet<string> = new Set(["shutdown", "timeout", "replaced"]);

// By then the session of a dead process has timed out as well.
const forgetLostMs = 600_000;

interface SeenSession {
  readonly presence: AgentPresence;
  readonly seenAtMs: number;
}

export interface RosterOptions {
  /** Whoever drops and is back within this time neither left nor joined. */
  readonly graceMs: number;
  /** The agent that never leaves: oneself. */
  readonly selfId: string;
}

/**
 * Who is here. No clock and no network: what was seen goes in with the time, changes come out. Seeing the same thing twice is seeing
 * it once. Presence and sessions both count. Where sessions count, what they say of a process is believed: a presence that was missed
 * is not said again, a session is read again.
 */
export class Roster {
  readonly #options: RosterOptions;
  readonly #entries = new Map<string, Entry>();
  /** Processes whose presence ended, and when: their session rows are not believed until they beat again. */
  readonly #lostAtMs = new Map<string, number>();
  #countsSessions = false;

  constructor(options: RosterOptions) {
    this.#options = options;
  }

  /** The whole presence state: what is not in it is gone. */
  syncPresence(sightings: readonly Sighting[], nowMs: number): RosterChange[] {
    const seen = new Set(sightings.map(({ ref }) => ref));
    const lost: Lost[] = [];
    for (const [agentId, entry] of this.#entries) {
      for (const ref of entry.byRef.keys()) if (!seen.has(ref)) lost.push({ agentId, ref });
    }
    for (const { ref, presence } of sightings) this.#see(ref, presence, nowMs);
    for (const each of lost) this.#lose(each, nowMs);
    return this.#settleAll(nowMs);
  }

  sawPresence(sightings: readonly Sighting[], nowMs: number): RosterChange[] {
    for (const { ref, presence } of sightings) this.#see(ref, presence, nowMs);
    return this.#settleSome(new Set(sightings.map(({ presence }) => presence.agent_id)), nowMs);
  }

  lostPresence(lost: readonly Lost[], nowMs: number): RosterChange[] {
    for (const each of lost) this.#lose(each, nowMs);
    return this.#settleSome(new Set(lost.map(({ agentId }) => agentId)), nowMs);
  }

  /**
   * All sessions that lived at `askedAtMs`: what is not in it has ended, apart from what was heard of since, and a presence that was seen
   * before and has no session is nobody's. The answer to a question may be older than the news.
   */
  syncSessions(sessions: readonly AgentPresence[], askedAtMs: number, nowMs: number): RosterChange[] {
    for (const [instance, lostAtMs] of this.#lostAtMs)
      if (nowMs - lostAtMs > forgetLostMs) this.#lostAtMs.delete(instance);
    const living = new Set(sessions.map(processOf));
    for (const { byRef, bySession } of this.#entries.values()) {
      for (const [instance, { seenAtMs }] of bySession) if (seenAtMs < askedAtMs) bySession.delete(instance);
      for (const seen of byRef.values())
        if (seen.seenAtMs < askedAtMs)
          seen.isDenied = !living.has(processOf(seen.presence)) && !bySession.has(seen.presence.instance_id);
    }
    for (const session of sessions) {
      const { bySession } = this.#entry(session.agent_id);
      if (this.#isBelieved(session) && !bySession.has(session.instance_id)) {
        bySession.set(session.instance_id, { presence: session, seenAtMs: askedAtMs });
      }
    }
    return this.#settleAll(nowMs);
  }

  /** A session was opened or changed. */
  sawSession(session: AgentPresence, nowMs: number): RosterChange[] {
    this.#lostAtMs.delete(session.instance_id);
    const { byRef, bySession } = this.#entry(session.agent_id);
    for (const seen of byRef.values())
      if (seen.presence.instance_id === session.instance_id) seen.isDenied = false;
    bySession.delete(session.instance_id); // the newest goes last
    bySession.set(session.instance_id, { presence: session, seenAtMs: nowMs });
    return this.#settleSome(new Set([session.agent_id]), nowMs);
  }

  /** A session ended. Its process said good-bye itself, was silent for too long or was replaced: nothing more is waited for. */
  endedSession(
    { agent_id: agentId, instance_id: instanceId }: Pick<AgentPresence, "agent_id" | "instance_id">,
    reason: string,
    nowMs: number,
  ): RosterChange[] {
    const entry = this.#entries.get(agentId);
    if (entry === undefined) return [];
    entry.bySession.delete(instanceId);
    this.#lostAtMs.set(instanceId, nowMs);
    entry.endReason = reason;
    if (!finalReasons.has(reason)) return this.#settleSome(new Set([agentId]), nowMs);
    for (const [ref, { presence }] of entry.byRef)
      if (presence.instance_id === instanceId) entry.byRef.delete(ref);
    if (this.#visible(entry).length > 0 || agentId === this.#options.selfId)
      return this.#settleSome(new Set([agentId]), nowMs);
    return this.#leave(agentId, entry, reason);
  }

  /** Whether sessions count as being here. In a small room only presence does, which notices a killed process at once. */
  countSessions(countsSessions: boolean, nowMs: number): RosterChange[] {
    if (this.#countsSessions === countsSessions) return [];
    this.#countsSessions = countsSessions;
    return this.#settleAll(nowMs);
  }

  /** Whose grace has run out by `nowMs`. */
  due(nowMs: number): RosterChange[] {
    const changes: RosterChange[] = [];
    for (const [agentId, entry] of Array.from(this.#entries)) {
      if (entry.goneAtMs !== undefined && entry.goneAtMs <= nowMs)
        changes.push(...this.#leave(agentId, entry, entry.endReason ?? "gone"));
    }
    return changes;
  }

  /** When `due` will have something; undefined when nobody is missing. */
  get nextDueMs(): number | undefined {
    let next: number | undefined;
    for (const { goneAtMs } of this.#entries.values()) {
      if (goneAtMs !== undefined && (next === undefined || goneAtMs < next)) next = goneAtMs;
    }
    return next;
  }

  /** Everybody here, oneself last; for an agent with several processes the newest. */
  agents(): AgentPresence[] {
    const all: AgentPresence[] = [];
    for (const { agentId, presences } of this.members()) {
      const newest = presences.at(-1);
      if (newest !== undefined && agentId !== this.#options.selfId) all.push(newest);
    }
    const self = this.#entries.get(this.#options.selfId)?.told.at(-1);
    return self === undefined ? all : [...all, self];
  }

  /** Everybody here with all processes, oneself last. */
  members(): { readonly agentId: string; readonly presences: readonly AgentPresence[] }[] {
    const told = [...this.#entries].filter(([, entry]) => entry.told.length > 0);
    const isSelf = ([agentId]: readonly [string, Entry]): boolean => agentId === this.#options.selfId;
    const ordered = [...told.filter((each) => !isSelf(each)), ...told.filter(isSelf)];
    return ordered.map(([agentId, entry]) => ({ agentId, presences: entry.told }));
  }

  has(agentId: string): boolean {
    return (this.#entries.get(agentId)?.told.length ?? 0) > 0;
  }

  /** What the sessions say of one process. */
  session(agentId: string, instanceId: string): AgentPresence | undefined {
    return this.#entries.get(agentId)?.bySession.get(instanceId)?.presence;
  }

  /** How many processes were seen, by presence or by session, whether sessions count or not. */
  get instances(): number {
    const seen = new Set<string>();
    for (const entry of this.#entries.values()) {
      for (const { presence, isDenied } of entry.byRef.values())
        if (!isDenied) seen.add(presence.instance_id);
      for (const instance of entry.bySession.keys()) seen.add(instance);
    }
    return seen.size;
  }

  #see(ref: string, presence: AgentPresence, nowMs: number): void {
    const { byRef } = this.#entry(presence.agent_id);
    byRef.delete(ref); // the newest goes last
    byRef.set(ref, { presence, seenAtMs: nowMs, isDenied: false });
    this.#lostAtMs.delete(presence.instance_id);
  }

  #lose({ agentId, ref }: Lost, nowMs: number): void {
    const entry = this.#entries.get(agentId);
    const presence = entry?.byRef.get(ref)?.presence;
    if (entry === undefined || presence === undefined) return;
    entry.byRef.delete(ref);
    const isStillSeen = [...entry.byRef.values()].some(
      (other) => other.presence.instance_id === presence.instance_id,
    );
    if (isStillSeen) return; // an update: the new reference came first
    entry.bySession.delete(presence.instance_id);
    this.#lostAtMs.set(presence.instance_id, nowMs);
  }

  #isBelieved(session: AgentPresence): boolean {
    const lostAtMs = this.#lostAtMs.get(session.instance_id);
    return lostAtMs === undefined || Date.parse(session.last_heartbeat) > lostAtMs;
  }

  #entry(agentId: string): Entry {
    let entry = this.#entries.get(agentId);
    if (entry === undefined) {
      entry = { byRef: new Map(), bySession: new Map(), told: [], goneAtMs: undefined, endReason: undefined };
      this.#entries.set(agentId, entry);
    }
    return entry;
  }

  /** One presence for each process, newest last. */
  #visible(entry: Entry): AgentPresence[] {
    const byInstance = new Map<string, AgentPresence>();
    if (this.#countsSessions)
      for (const [instance, { presence }] of entry.bySession) byInstance.set(instance, presence);
    for (const { presence, isDenied } of entry.byRef.values()) {
      const { instance_id: instance } = presence;
      if (isDenied || (this.#countsSessions && entry.bySession.has(instance))) continue;
      byInstance.delete(instance);
      byInstance.set(instance, presence);
    }
    return [...byInstance.values()];
  }

  #settleAll(nowMs: number): RosterChange[] {
    return this.#settleSome(new Set(this.#entries.keys()), nowMs);
  }

  #settleSome(agentIds: ReadonlySet<string>, nowMs: number): RosterChange[] {
    const changes: RosterChange[] = [];
    for (const agentId of agentIds) {
      const entry = this.#entries.get(agentId);
      const change = entry === undefined ? undefined : this.#settle(agentId, entry, nowMs);
      if (change !== undefined) changes.push(change);
    }
    return changes;
  }

  #settle(agentId: string, entry: Entry, nowMs: number): RosterChange | undefined {
    const visible = this.#visible(entry);
    if (visible.length === 0) {
      if (entry.told.length > 0 && agentId !== this.#options.selfId)
        entry.goneAtMs ??= nowMs + this.#options.graceMs;
      else if (entry.told.length === 0 && entry.bySession.size === 0) this.#entries.delete(agentId);
      return undefined;
    }
    entry.goneAtMs = undefined;
    entry.endReason = undefined;
    const isNew = entry.told.length === 0;
    const isSame =
      !isNew &&
      visible.length === entry.told.length &&
      visible.every((presence, i) => isEqual(presence, entry.told[i]));
    entry.told = visible;
    if (isSame) return undefined;
    return { type: isNew ? "join" : "update", agentId, presences: visible, reason: undefined };
  }

  #leave(agentId: string, entry: Entry, reason: string): RosterChange[] {
    const presences = entry.told;
    entry.told = [];
    entry.goneAtMs = undefined;
    if (entry.bySession.size === 0) this.#entries.delete(agentId);
    return presences.length === 0 ? [] : [{ type: "leave", agentId, presences, reason }];
  }
}

function processOf({ agent_id, instance_id }: AgentPresence): string {
  return `${agent_id} ${instance_id}`;
}

// The time at which it was said is not what was said.
function isEqual(a: AgentPresence, b: AgentPresence | undefined): boolean {
  return (
    b !== undefined &&
    JSON.stringify({ ...a, last_heartbeat: "" }) === JSON.stringify({ ...b, last_heartbeat: "" })
  );
}
